from __future__ import annotations

import time
from typing import Any

import jwt
import pytest
import requests

from backoffice.demo.provider import ABSENT, Client, Fault, Provider
from backoffice.demo.provider_claims import BACKCHANNEL_EVENT
from backoffice.demo.staff import STAFF
from tests.backoffice.demo.conftest import SITE, Recorder
from tests.fakes.provider import Party, parameters_of, submit

SEOYEON, GRACE = STAFF[0], STAFF[1]
SIGNED_OUT = f"{SITE}/signed-out/"


def end_session(party: Party, method: str = "GET", **asked: str) -> requests.Response:
    return party.browser.request(
        method,
        f"{party.provider.issuer}/end_session",
        allow_redirects=False,
        **{"data" if method == "POST" else "params": asked},
    )


def sent_claims(recorder: Recorder) -> list[dict[str, Any]]:
    """The claims of the logout tokens received so far."""
    tokens = [each.form["logout_token"] for each in recorder.received]
    return [jwt.decode(each, options={"verify_signature": False}) for each in tokens]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_sign_out_with_a_hint_goes_straight_back(party: Party, method: str) -> None:
    hint = party.tokens(SEOYEON.sub)["id_token"]
    answer = end_session(
        party,
        method,
        id_token_hint=hint,
        post_logout_redirect_uri=SIGNED_OUT,
        state="s",
    )
    assert answer.headers["Location"] == f"{SIGNED_OUT}?state=s"
    assert not party.provider.sessions
    assert not party.browser.cookies


def test_sign_out_ends_the_tokens_too(party: Party) -> None:
    tokens = party.tokens(SEOYEON.sub)
    end_session(party, id_token_hint=tokens["id_token"])
    assert party.userinfo(tokens["access_token"]).status_code == 401
    assert party.refresh(tokens["refresh_token"]).status_code == 400


def test_sign_out_accepts_an_expired_hint(party: Party) -> None:
    party.provider.faults.add(Fault.EXPIRED)
    hint = party.tokens(SEOYEON.sub)["id_token"]
    end_session(party, id_token_hint=hint)
    assert not party.provider.sessions


@pytest.mark.parametrize(
    "uri", [f"{SITE}/signed-out", f"{SITE}/signed-out/?x=1", "https://evil.example/"]
)
def test_sign_out_never_goes_to_an_unregistered_address(party: Party, uri: str) -> None:
    hint = party.tokens(SEOYEON.sub)["id_token"]
    answer = end_session(party, id_token_hint=hint, post_logout_redirect_uri=uri)
    assert answer.status_code == 200
    assert "Location" not in answer.headers
    assert not party.provider.sessions


@pytest.mark.parametrize("fault", [Fault.KEY_WRONG, Fault.ALG_NONE, Fault.ISS_WRONG])
def test_sign_out_with_a_bad_hint_asks_first(party: Party, fault: Fault) -> None:
    party.provider.faults.add(fault, once=True)
    hint = party.tokens(SEOYEON.sub)["id_token"]
    answer = end_session(party, id_token_hint=hint, post_logout_redirect_uri=SIGNED_OUT)
    assert SEOYEON.name in answer.text
    assert party.provider.sessions


def test_sign_out_of_another_client_than_the_hint_asks_first(party: Party) -> None:
    hint = party.tokens(SEOYEON.sub)["id_token"]
    end_session(party, id_token_hint=hint, client_id="second")
    assert party.provider.sessions


def test_sign_out_without_a_hint_asks_and_then_goes_back(party: Party) -> None:
    party.sign_in(SEOYEON.sub)
    page = end_session(
        party, client_id="backoffice", post_logout_redirect_uri=SIGNED_OUT, state="s"
    )
    assert party.provider.sessions
    assert f"form-action 'self' {SITE};" in page.headers["Content-Security-Policy"]
    answer = submit(party.browser, page)
    assert answer.headers["Location"] == f"{SIGNED_OUT}?state=s"
    assert not party.provider.sessions


def test_sign_out_with_nobody_signed_in_says_so(party: Party) -> None:
    page = end_session(party, ui_locales="ko")
    assert "로그인한 사람이 없습니다" in page.text
    assert "로그아웃되었습니다" in submit(party.browser, page).text


def test_sign_out_form_from_another_browser_is_refused(
    party: Party, second: Party
) -> None:
    party.sign_in(SEOYEON.sub)
    page = end_session(party)
    second.ask()
    assert submit(second.browser, page).status_code == 403
    assert party.provider.sessions


def test_sign_out_tells_every_site_of_the_session(
    party: Party, recorder: Recorder
) -> None:
    tokens = party.tokens(SEOYEON.sub)
    sid = next(iter(party.provider.sessions))
    end_session(party, id_token_hint=tokens["id_token"])
    [request] = recorder.received
    assert request.media_type == "application/x-www-form-urlencoded"
    assert list(request.form) == ["logout_token"]
    assert sent_claims(recorder)[0]["sid"] == sid


def test_logout_token_is_what_the_standard_asks_for(party: Party) -> None:
    token = party.provider.logout_token("backoffice", sid="a-sid", sub="a-sub")
    header = jwt.get_unverified_header(token)
    key = party.provider.state.keys.current
    claims = jwt.decode(
        token, key.private.public_key(), ["RS256"], audience="backoffice"
    )
    assert (header["typ"], header["kid"]) == ("logout+jwt", key.kid)
    assert claims["iss"] == party.provider.issuer
    assert claims["events"] == {BACKCHANNEL_EVENT: {}}
    assert (claims["sid"], claims["sub"]) == ("a-sid", "a-sub")
    assert claims["iat"] <= time.time() < claims["exp"] <= time.time() + 120
    assert claims["jti"]
    assert "nonce" not in claims


def test_logout_token_can_be_made_wrong(provider: Provider) -> None:
    token = provider.logout_token(
        "backoffice",
        sid="x",
        changes={"events": ABSENT, "nonce": "n"},
        typ=None,
        fault=Fault.ALG_NONE,
    )
    claims = jwt.decode(token, options={"verify_signature": False})
    assert "events" not in claims
    assert claims["nonce"] == "n"
    assert "typ" not in jwt.get_unverified_header(token)


def test_backchannel_by_sid_ends_that_session_only(
    party: Party, recorder: Recorder
) -> None:
    sid = first_of_two_sessions(party)
    [delivery] = party.provider.backchannel_logout(sid=sid)
    assert (delivery.client_id, delivery.status) == ("backoffice", 200)
    [claims] = sent_claims(recorder)
    assert (claims["sid"], claims["sub"]) == (sid, SEOYEON.sub)
    assert sid not in party.provider.sessions
    assert len(party.provider.sessions) == 1


def test_backchannel_by_sub_ends_all_of_the_person(
    party: Party, recorder: Recorder
) -> None:
    first_of_two_sessions(party)
    party.provider.backchannel_logout(sub=SEOYEON.sub)
    [claims] = sent_claims(recorder)
    assert claims["sub"] == SEOYEON.sub
    assert "sid" not in claims
    assert not party.provider.sessions


def test_backchannel_for_an_unknown_session_is_sent_all_the_same(
    provider: Provider, recorder: Recorder
) -> None:
    provider.backchannel_logout(sid="unknown")
    [claims] = sent_claims(recorder)
    assert claims["sid"] == "unknown"


def test_backchannel_to_a_site_that_is_down_is_no_error() -> None:
    client = Client("down", "s", backchannel_logout_uri="http://127.0.0.1:9/x")
    with Provider(clients=[client]) as provider:
        [delivery] = provider.backchannel_logout(sub=SEOYEON.sub)
    assert delivery.status is None


def test_control_page_ends_a_session_and_tells(
    party: Party, recorder: Recorder
) -> None:
    party.sign_in(SEOYEON.sub)
    sid = next(iter(party.provider.sessions))
    page = party.browser.get(f"{party.provider.issuer}/dev")
    assert SEOYEON.name in page.text
    assert "backoffice: 200" in submit(party.browser, page, sid=sid).text
    assert sent_claims(recorder)[0]["sid"] == sid


def test_control_page_button_needs_the_page(party: Party) -> None:
    party.sign_in(SEOYEON.sub)
    sid = next(iter(party.provider.sessions))
    url = f"{party.provider.issuer}/dev/end"
    assert party.browser.post(url, data={"sid": sid}).status_code == 403
    assert sid in party.provider.sessions


def test_other_person_in_the_browser_logs_the_first_out(
    party: Party, recorder: Recorder
) -> None:
    party.sign_in(SEOYEON.sub)
    party.sign_in(GRACE.sub, prompt="login")
    assert [each["sub"] for each in sent_claims(recorder)] == [SEOYEON.sub]
    assert "code" in parameters_of(party.ask())


def first_of_two_sessions(party: Party) -> str:
    """Signs the same person in with two browsers; the first session's sid."""
    party.sign_in(SEOYEON.sub)
    sid = next(iter(party.provider.sessions))
    other = Party(party.provider, party.client)
    other.sign_in(SEOYEON.sub)
    other.close()
    return sid
