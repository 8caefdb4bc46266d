"""A step-up from page to page, over real sockets, with the old cookie kept."""

from __future__ import annotations

from tests.journeys.site import ADMIN, COOKIE, SUPPORT, Browser, Site

PAGE = "/sso/step-up/?next=/sessions/%3Fa=1"


def confirm(browser: Browser, sub: str) -> str:
    """Presses the button, signs in again at the provider; gives where that ends."""
    people = browser.submit(browser.get(PAGE), "/sso/step-up/")
    return browser.submit(people, "/sign-in", sub=sub).url


def test_step_up_comes_back_with_another_key_and_the_old_one_is_dead(
    site: Site, browser: Browser
) -> None:
    browser.sign_in(SUPPORT)
    stolen = browser.session_key
    assert confirm(browser, SUPPORT) == f"{site.url}/sessions/?a=1"
    assert browser.session_key != stolen
    assert browser.call("/api/proxy/echo/").status_code == 200
    thief = site.browser()
    answer = thief.call("/api/proxy/echo/", cookies={COOKIE: str(stolen)})
    assert answer.status_code == 401


def test_provider_asks_again_although_it_knows_the_browser(browser: Browser) -> None:
    browser.sign_in(SUPPORT)
    page = browser.submit(browser.get(PAGE), "/sso/step-up/")
    assert "/authorize" in page.url
    assert f'value="{SUPPORT}" autofocus' in page.text


def test_another_person_does_not_get_the_first_ones_session(
    site: Site, browser: Browser
) -> None:
    """The provider logs the first one out, and with the session goes the question."""
    browser.sign_in(SUPPORT)
    first = browser.session_key
    confirm(browser, ADMIN)
    answer = site.browser().call("/api/proxy/echo/", cookies={COOKIE: str(first)})
    assert answer.status_code == 401
    assert browser.call("/api/proxy/echo/").status_code == 401
    assert "김서연" in browser.choose_provider().text


def test_provider_that_lets_the_browser_through_is_not_believed(
    site: Site, browser: Browser
) -> None:
    """An hour after the person was last asked; sites cannot see the difference."""
    browser.sign_in(SUPPORT)
    for session in site.provider.state.sessions.values():
        session.auth_time -= 3600
    site.provider.faults.add("reauthentication-ignored", once=True)
    page = browser.submit(browser.get(PAGE), "/sso/step-up/")
    assert page.status_code == 502
    assert browser.call("/api/proxy/echo/").status_code == 200
