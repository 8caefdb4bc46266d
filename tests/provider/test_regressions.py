"""What a provider that we did not write once showed us to be wrong."""

from __future__ import annotations

import re

import pytest

from tests.journeys.site import Browser, Site
from tests.provider.conftest import Provider
from tests.provider.test_journeys import GUEST, STAFF, callback, is_signed_in


def test_sign_out_declined_at_the_provider_is_not_called_a_sign_out_there(
    browser: Browser,
) -> None:
    asked = browser.submit(browser.sign_in(STAFF), "/sign-out/")
    page = browser.submit(asked, "/session/end/confirm")
    assert page.url.startswith(f"{browser.url}/signed-out/")
    assert "are signed out at the company" not in page.text


@pytest.mark.parametrize("issuer_sent", ["&iss=http%3A%2F%2Fevil.example", ""])
def test_answer_of_another_issuer_is_refused(
    browser: Browser, issuer_sent: str
) -> None:
    address = re.sub(r"&iss=[^&]*", issuer_sent, callback(browser, STAFF))
    assert browser.get(address).status_code in {403, 502}
    assert not is_signed_in(browser)


@pytest.mark.parametrize("ending", ["refused", "cancelled", "abandoned"])
def test_who_was_never_signed_in_is_not_told_that_a_session_ended(
    browser: Browser, ending: str
) -> None:
    people = browser.choose_provider()
    if ending == "refused":
        browser.submit(people, "/sign-in", sub=GUEST)
    elif ending == "cancelled":
        browser.submit(people, "/cancel")
    assert "Your session has ended" not in browser.get("/sign-in/").text


def test_refused_sign_in_leaves_neither_code_nor_providers_words_in_the_log(
    site: Site, browser: Browser, provider: Provider
) -> None:
    browser.sign_in(GUEST)
    another = site.browser()
    another.submit(another.choose_provider(), "/cancel")
    log = (site.folder / "site.log").read_text()
    assert "not+today" not in log
    assert not [secret for secret in provider.secrets() if secret in log]


def test_upstream_language_is_not_ours_to_claim(browser: Browser) -> None:
    browser.sign_in(STAFF)
    assert "Content-Language" not in browser.call("/api/proxy/echo/").headers


def test_kill_ordered_while_the_store_is_away_holds_when_it_is_back(
    site: Site, browser: Browser
) -> None:
    browser.sign_in(STAFF)
    site.store.stop()
    try:
        done = site.manage("purge_sessions", "--user", STAFF, "--yes", check=False)
    finally:
        site.store.start()
    assert done.returncode == 3
    assert not is_signed_in(browser)
