"""The provider signs somebody out, and tells us."""

from __future__ import annotations

import pytest
import requests

from backoffice.demo.provider import ABSENT, Fault
from tests.journeys.site import SUPPORT, Browser, Site

PATH = "/sso/backchannel-logout/"
CLIENT = "backoffice"


def is_signed_in(browser: Browser) -> bool:
    return browser.call("/api/proxy/echo/").status_code == 200


def post(site: Site, token: str) -> requests.Response:
    http = requests.Session()
    http.trust_env = False
    return http.post(f"{site.url}{PATH}", data={"logout_token": token}, timeout=20)


def sid_of(site: Site) -> str:
    """The provider's newest session."""
    return list(site.provider.sessions)[-1]


def test_sid_ends_one_session_and_no_other(site: Site) -> None:
    gone, stays = site.browser(), site.browser()
    gone.sign_in(SUPPORT)
    sid = sid_of(site)
    stays.sign_in(SUPPORT)
    (delivery,) = site.provider.backchannel_logout(sid=sid)
    assert delivery.status == 200
    assert [is_signed_in(gone), is_signed_in(stays)] == [False, True]


def test_sub_alone_ends_all_of_that_person(site: Site) -> None:
    people = [site.browser() for _ in range(3)]
    for person in people:
        person.sign_in(SUPPORT)
    token = site.provider.logout_token(CLIENT, sub=SUPPORT)
    assert post(site, token).status_code == 200
    assert not any(is_signed_in(person) for person in people)


def test_replay_is_refused_and_ends_nothing(site: Site, browser: Browser) -> None:
    token = site.provider.logout_token(CLIENT, sub=SUPPORT)
    assert post(site, token).status_code == 200
    browser.sign_in(SUPPORT)
    answer = post(site, token)
    assert answer.status_code == 400
    assert "no-store" in answer.headers["Cache-Control"]
    assert "Set-Cookie" not in answer.headers
    assert is_signed_in(browser)


@pytest.mark.parametrize("fault", [Fault.ALG_NONE, Fault.ALG_HS256, Fault.KEY_WRONG])
def test_forged_signature_ends_nothing(
    site: Site, browser: Browser, fault: Fault
) -> None:
    browser.sign_in(SUPPORT)
    token = site.provider.logout_token(CLIENT, sub=SUPPORT, fault=fault)
    assert post(site, token).status_code == 400
    assert is_signed_in(browser)


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://evil.example"},
        {"aud": "somebody-else"},
        {"events": ABSENT},
        {"events": {"http://schemas.openid.net/event/other": {}}},
        {"nonce": "n"},
        {"jti": ABSENT},
        {"iat": 1},
        {"iat": ABSENT},
        {"sub": ABSENT},
    ],
)
def test_token_that_breaks_a_rule_ends_nothing(
    site: Site, browser: Browser, changes: dict[str, object]
) -> None:
    browser.sign_in(SUPPORT)
    token = site.provider.logout_token(CLIENT, sub=SUPPORT, changes=changes)
    assert post(site, token).status_code == 400
    assert is_signed_in(browser)


def test_token_with_another_typ_is_refused_by_default(
    site: Site, browser: Browser
) -> None:
    browser.sign_in(SUPPORT)
    token = site.provider.logout_token(CLIENT, sub=SUPPORT, typ="JWT")
    assert post(site, token).status_code == 400
    assert is_signed_in(browser)


def test_garbage_asks_the_provider_nothing(site: Site) -> None:
    before = len(site.provider.requests)
    for number in range(100):
        assert post(site, f"garbage.{number}.token").status_code == 400
    assert post(site, "x" * 20_000).status_code == 400
    assert len(site.provider.requests) == before


def test_other_methods_are_405(site: Site) -> None:
    assert requests.get(f"{site.url}{PATH}", timeout=20).status_code == 405


def test_logout_while_the_store_is_away_is_400_and_takes_effect_later(
    site: Site, browser: Browser
) -> None:
    browser.sign_in(SUPPORT)
    token = site.provider.logout_token(CLIENT, sub=SUPPORT)
    site.store.stop()
    try:
        assert post(site, token).status_code == 400
    finally:
        site.store.start()
    assert not is_signed_in(browser)
