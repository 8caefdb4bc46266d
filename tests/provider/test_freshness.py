"""How recently somebody proved who they are, as a certified provider understands it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.journeys.site import COOKIE, Browser, Site, running_site
from tests.provider.conftest import Provider
from tests.provider.test_journeys import STAFF, is_signed_in, was_asked_who
from tests.waiting import wait_until

MAX_AGE = RENEW = STEP_UP = 2
# Seconds: a use of a session is noticed once a minute.
NOTICED = 100


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, issuer: str) -> Iterator[Site]:
    with running_site(
        tmp_path_factory.mktemp("site"),
        OIDC_ISSUER=issuer,
        OIDC_SCOPES="groups",
        OIDC_MAX_AGE=str(MAX_AGE),
        OIDC_RENEW_SECONDS=str(RENEW),
        STEP_UP_SECONDS=str(STEP_UP),
    ) as running:
        yield running


def test_max_age_is_asked_for_and_believed_by_auth_time(
    browser: Browser, provider: Provider
) -> None:
    browser.sign_in(STAFF)
    asked = provider.events("authorization.success")[-1]["asked"]
    assert str(asked["max_age"]) == str(MAX_AGE)
    assert is_signed_in(browser)


def test_who_signed_in_too_long_ago_is_asked_again(
    browser: Browser, provider: Provider
) -> None:
    browser.sign_in(STAFF)
    time.sleep(MAX_AGE + 1)
    browser.http.cookies.clear(domain="localhost.local", path="/", name=COOKIE)
    people = browser.choose_provider()
    assert was_asked_who(people, provider)
    browser.submit(people, "/sign-in", sub=STAFF)
    assert is_signed_in(browser)


def test_refresh_token_is_used_rotated_and_never_shown(
    browser: Browser, provider: Provider
) -> None:
    browser.sign_in(STAFF)
    before = len(refreshed(provider))
    assert wait_until(
        lambda: is_signed_in(browser) and len(refreshed(provider)) > before, NOTICED
    )
    assert {each["by"] for each in refreshed(provider)} == {"Basic"}
    assert is_signed_in(browser)


def refreshed(provider: Provider) -> list[dict[str, str]]:
    grants = provider.events("grant.success")
    return [each for each in grants if each["type"] == "refresh_token"]


def test_provider_that_ended_the_session_ends_it_here_at_the_next_question(
    browser: Browser, provider: Provider
) -> None:
    """Restarted, it knows no refresh token: `invalid_grant`."""
    browser.sign_in(STAFF)
    provider.stop()
    provider.start()
    assert wait_until(lambda: not is_signed_in(browser), NOTICED)


def test_fresh_sign_in_is_asked_for_and_proved(
    browser: Browser, provider: Provider
) -> None:
    browser.sign_in(STAFF)
    time.sleep(STEP_UP + 1)
    key = browser.session_key
    page = browser.get("/sso/step-up/", params={"next": "/sessions/"})
    people = browser.submit(page, "/sso/step-up/")
    assert was_asked_who(people, provider)
    page = browser.submit(people, "/sign-in", sub=STAFF)
    assert page.url == f"{browser.url}/sessions/"
    assert browser.session_key not in {None, key}
