from __future__ import annotations

import pytest
import requests

from backoffice.demo.provider import Provider
from backoffice.demo.provider_browser import COOKIE
from backoffice.demo.staff import STAFF
from tests.fakes.provider import Party, challenge_of, choose, parameters_of, submit

SEOYEON, GRACE = STAFF[0], STAFF[1]


def test_sign_in_gives_code_state_and_issuer(party: Party) -> None:
    answer = party.sign_in(SEOYEON.sub)
    assert answer["state"] == "the-state"
    assert answer["iss"] == party.provider.issuer
    assert party.exchange(answer["code"]).status_code == 200


def test_sign_in_page_shows_everyone_and_their_groups(party: Party) -> None:
    page = party.ask()
    assert page.status_code == 200
    for person in STAFF:
        assert person.name in page.text
        assert person.email in page.text
        assert all(group in page.text for group in person.groups)


def test_sign_in_page_runs_and_loads_nothing_foreign(party: Party) -> None:
    page = party.ask()
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'; style-src 'self'" in policy
    assert "form-action 'self' http://localhost:8000;" in policy
    assert "<script" not in page.text
    assert "style=" not in page.text
    assert party.browser.get(f"{party.provider.issuer}/style.css").text


@pytest.mark.parametrize(
    ("ui_locales", "accept", "language"),
    [
        ("ko", "en", "ko"),
        ("ko-KR en", "en", "ko"),
        ("fr", "en;q=0.3, ko-KR;q=0.9", "ko"),
        ("", "de, en-GB;q=0.5", "en"),
        ("", "", "en"),
    ],
)
def test_sign_in_page_speaks_the_wanted_language(
    party: Party, ui_locales: str, accept: str, language: str
) -> None:
    party.browser.headers["Accept-Language"] = accept
    page = party.ask(ui_locales=ui_locales or None)
    assert f'<html lang="{language}">' in page.text


def test_sign_in_again_needs_no_card(party: Party) -> None:
    party.sign_in(SEOYEON.sub)
    assert "code" in parameters_of(party.ask())


def test_cookie_is_new_after_sign_in(party: Party) -> None:
    page = party.ask()
    before = party.browser.cookies[COOKIE]
    choose(party.browser, page, SEOYEON.sub)
    assert party.browser.cookies[COOKIE] != before


def test_cookie_cannot_be_planted(party: Party) -> None:
    party.browser.cookies[COOKIE] = "planted"
    choose(party.browser, party.ask(), SEOYEON.sub)
    thief = requests.get(
        f"{party.provider.issuer}/authorize",
        params=party.request(),
        cookies={COOKIE: "planted"},
        allow_redirects=False,
        timeout=60,
    )
    assert thief.status_code == 200


def test_form_from_another_browser_is_refused(party: Party, second: Party) -> None:
    page = party.ask()
    second.ask()
    assert choose(second.browser, page, SEOYEON.sub).status_code == 403


def test_form_sent_twice_is_refused(party: Party) -> None:
    page = party.ask()
    choose(party.browser, page, SEOYEON.sub)
    assert choose(party.browser, page, SEOYEON.sub).status_code == 403


def test_form_with_unknown_person_is_refused(party: Party) -> None:
    assert submit(party.browser, party.ask(), sub="nobody").status_code == 400


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "unknown"},
        {"client_id": None},
        {"redirect_uri": None},
        {"redirect_uri": "http://localhost:8000/sso/complete/oidc"},
        {"redirect_uri": "http://localhost:8000/sso/complete/oidc/?x=1"},
        {"redirect_uri": "https://evil.example/"},
    ],
)
def test_request_that_must_not_redirect_gets_a_page(
    party: Party, changes: dict[str, str | None]
) -> None:
    answer = party.ask(**changes)
    assert answer.status_code == 400
    assert "Location" not in answer.headers


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_mode": "form_post"}, "invalid_request"),
        ({"scope": "profile"}, "invalid_scope"),
        ({"prompt": "none login"}, "invalid_request"),
        ({"prompt": "sing"}, "invalid_request"),
        ({"max_age": "-1"}, "invalid_request"),
        ({"request": "x"}, "request_not_supported"),
        ({"request_uri": "x"}, "request_uri_not_supported"),
    ],
)
def test_bad_request_is_sent_back_with_its_state(
    party: Party, changes: dict[str, str | None], error: str
) -> None:
    answer = parameters_of(party.ask(**changes))
    assert (answer["error"], answer["state"]) == (error, "the-state")
    assert answer["iss"] == party.provider.issuer


def test_request_with_a_doubled_parameter_is_sent_back(party: Party) -> None:
    url = f"{party.provider.issuer}/authorize?nonce=other"
    answer = party.browser.get(url, params=party.request(), allow_redirects=False)
    assert parameters_of(answer)["error"] == "invalid_request"


def test_request_by_post_is_the_same(party: Party) -> None:
    url = f"{party.provider.issuer}/authorize"
    page = party.browser.post(url, data=party.request())
    assert "code" in parameters_of(choose(party.browser, page, SEOYEON.sub))


def test_redirect_address_keeps_its_own_query(party: Party) -> None:
    answer = party.sign_in(
        SEOYEON.sub, redirect_uri="http://localhost:8000/other/?kept=1"
    )
    assert answer["kept"] == "1"
    assert "code" in answer


def test_prompt_none_without_session_is_login_required(party: Party) -> None:
    assert parameters_of(party.ask(prompt="none"))["error"] == "login_required"


def test_prompt_none_with_session_gives_a_code(party: Party) -> None:
    party.sign_in(SEOYEON.sub)
    assert "code" in parameters_of(party.ask(prompt="none"))


@pytest.mark.parametrize(
    "changes",
    [
        {"prompt": "login"},
        {"prompt": "select_account"},
        {"max_age": "0"},
        {"login_hint": GRACE.email},
    ],
)
def test_session_is_not_enough_when_more_is_asked(
    party: Party, changes: dict[str, str | None]
) -> None:
    party.sign_in(SEOYEON.sub)
    assert party.ask(**changes).status_code == 200


def test_prompt_none_does_not_pass_off_an_old_session(party: Party) -> None:
    party.sign_in(SEOYEON.sub)
    answer = parameters_of(party.ask(prompt="none", max_age="0"))
    assert answer["error"] == "login_required"


def test_large_max_age_is_content_with_the_session(party: Party) -> None:
    party.sign_in(SEOYEON.sub)
    assert "code" in parameters_of(party.ask(max_age="3600"))


def test_hinted_person_comes_first(party: Party) -> None:
    page = party.ask(login_hint=GRACE.username).text
    assert page.index(GRACE.name) < page.index(SEOYEON.name)


def test_same_person_again_keeps_the_session(party: Party, provider: Provider) -> None:
    party.sign_in(SEOYEON.sub)
    before = list(provider.sessions)
    party.sign_in(SEOYEON.sub, prompt="login")
    assert list(provider.sessions) == before


def test_other_person_ends_the_first_session(party: Party, provider: Provider) -> None:
    party.sign_in(SEOYEON.sub)
    party.sign_in(GRACE.sub, prompt="select_account")
    assert [each.sub for each in provider.sessions.values()] == [GRACE.sub]


def test_challenge_is_the_one_of_the_standard() -> None:
    # RFC 7636, appendix B
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    assert challenge_of(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
