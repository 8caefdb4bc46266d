"""Back-channel logout as a certified provider, and not we, understands it."""

from __future__ import annotations

from urllib.parse import parse_qs

import requests

from tests.journeys.site import Browser, Site
from tests.provider.conftest import Provider
from tests.provider.test_journeys import STAFF, is_signed_in

BACK_CHANNEL = "/sso/backchannel-logout/"


def sign_out_at_provider(browser: Browser, provider: Provider) -> None:
    """The person signs out at the provider itself, not through the site."""
    asked = browser.get(f"{provider.issuer}/session/end")
    browser.submit(asked, "/session/end/confirm", logout="yes")


def last_logout_token(provider: Provider) -> str:
    return parse_qs(provider.events("fetch")[-1]["body"])["logout_token"][0]


def post_token(site: Site, token: str) -> requests.Response:
    """The provider's call, made by somebody else."""
    http = requests.Session()
    http.trust_env = False
    form = {"logout_token": token}
    return http.post(f"{site.url}{BACK_CHANNEL}", data=form, timeout=60)


def test_signing_out_at_the_provider_ends_that_session_here_and_no_other(
    site: Site, browser: Browser, provider: Provider
) -> None:
    browser.sign_in(STAFF)
    elsewhere = site.browser()
    elsewhere.sign_in(STAFF)
    sign_out_at_provider(browser, provider)
    assert provider.events("backchannel.success")[-1]["sub"] == STAFF
    assert provider.events("backchannel.success")[-1]["sid"]
    assert not is_signed_in(browser)
    assert is_signed_in(elsewhere)


def test_back_channel_logout_of_a_session_already_gone_is_no_error(
    browser: Browser, provider: Provider
) -> None:
    asked = browser.submit(browser.sign_in(STAFF), "/sign-out/")
    browser.submit(asked, "/session/end/confirm", logout="yes")
    assert provider.events("backchannel.success")
    assert not provider.events("backchannel.error")


def test_logout_token_works_once(
    site: Site, browser: Browser, provider: Provider
) -> None:
    browser.sign_in(STAFF)
    sign_out_at_provider(browser, provider)
    again = post_token(site, last_logout_token(provider))
    assert again.status_code == 400
    assert "no-store" in again.headers["Cache-Control"]


def test_logout_token_that_was_altered_ends_nothing(
    site: Site, browser: Browser, provider: Provider
) -> None:
    gone = site.browser()
    gone.sign_in(STAFF)
    sign_out_at_provider(gone, provider)
    browser.sign_in(STAFF)
    head, _, signature = last_logout_token(provider).split(".")
    assert post_token(site, f"{head}.e30.{signature}").status_code == 400
    assert is_signed_in(browser)
