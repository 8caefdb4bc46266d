"""The provider signs somebody out, and tells the site by itself."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urljoin

from tests.journeys.site import (
    FINANCE,
    SUPPORT,
    Browser,
    Site,
    form_action,
    hidden_fields,
)

ECHO = "/api/proxy/echo/"


def is_signed_in(browser: Browser) -> bool:
    return browser.call(ECHO).status_code == 200


def newest_sid(site: Site) -> str:
    """The provider's session of whoever has just signed in."""
    return list(site.provider.sessions)[-1]


def statuses(site: Site, **said: str) -> list[int | None]:
    return [sent.status for sent in site.provider.backchannel_logout(**said)]


def test_logout_of_one_session_ends_it_here_and_no_other(
    site: Site, browser: Browser, another_browser: Browser
) -> None:
    browser.sign_in(SUPPORT)
    sid = newest_sid(site)
    another_browser.sign_in(SUPPORT)
    assert statuses(site, sid=sid) == [200]
    assert not is_signed_in(browser)
    assert is_signed_in(another_browser)
    assert "/sign-in/" in browser.get("/").url


def test_logout_of_a_person_ends_all_of_theirs(
    site: Site, browser: Browser, another_browser: Browser
) -> None:
    stranger = site.browser()
    stranger.sign_in(SUPPORT)
    for each in (browser, another_browser):
        each.sign_in(FINANCE)
    assert statuses(site, sub=FINANCE) == [200]
    assert not is_signed_in(browser)
    assert not is_signed_in(another_browser)
    assert is_signed_in(stranger)


def test_signing_out_here_is_followed_by_the_providers_word_and_is_no_error(
    site: Site, browser: Browser
) -> None:
    """It comes while the sign-out is on its way: the session is gone already."""
    page = browser.submit(browser.sign_in(SUPPORT), "/sign-out/")
    assert page.url.startswith(f"{browser.url}/signed-out/")
    assert "logout_accepted ended=0" in (site.folder / "site.log").read_text()


def test_person_signs_in_again_after_the_provider_signed_them_out(
    site: Site, browser: Browser
) -> None:
    browser.sign_in(SUPPORT)
    assert statuses(site, sid=newest_sid(site)) == [200]
    browser.sign_in(SUPPORT)
    assert is_signed_in(browser)


def test_delivered_twice_it_is_refused_the_second_time(
    site: Site, browser: Browser
) -> None:
    browser.sign_in(SUPPORT)
    [sent] = site.provider.backchannel_logout(sid=newest_sid(site))
    assert post(site, f"logout_token={sent.token}") == 400
    assert post(site, "logout_token=") == 400


def post(site: Site, body: object) -> int:
    """A call as the provider makes it, by somebody else."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    address = f"{site.url}/sso/backchannel-logout/"
    return site.browser().http.post(address, body, headers=headers).status_code


def callback(browser: Browser, sub: str) -> str:
    """Signs in at the provider; gives the way back to the site, not yet walked."""
    people = browser.choose_provider()
    form = {**hidden_fields(people.text, "/sign-in"), "sub": sub}
    target = urljoin(people.url, form_action(people.text, "/sign-in"))
    answer = browser.http.post(target, data=form, allow_redirects=False)
    return str(answer.headers["Location"])


def test_logout_that_comes_before_the_sign_in_is_stored_wins(
    site: Site, browser: Browser
) -> None:
    """The browser is still on its way back when the provider's word is here."""
    way_back = callback(browser, SUPPORT)
    token = site.provider.logout_token("backoffice", sid=newest_sid(site))
    assert post(site, f"logout_token={token}") == 200
    browser.http.get(way_back, allow_redirects=False)
    assert not is_signed_in(browser)


def test_body_of_unannounced_length_is_refused(site: Site, browser: Browser) -> None:
    browser.sign_in(SUPPORT)
    token = site.provider.logout_token("backoffice", sid=newest_sid(site))

    def pieces() -> Iterator[bytes]:
        yield f"logout_token={token}".encode()

    assert post(site, pieces()) == 400
    assert is_signed_in(browser)


def test_logout_while_the_store_is_down_takes_effect_when_it_is_back(
    site: Site, browser: Browser, another_browser: Browser
) -> None:
    another_browser.sign_in(SUPPORT)
    browser.sign_in(FINANCE)
    sid = newest_sid(site)
    site.store.stop()
    try:
        assert statuses(site, sid=sid) == [400]
        assert browser.call(ECHO).status_code == 503
    finally:
        site.store.start()
    assert not is_signed_in(browser)
    assert is_signed_in(another_browser)


def test_security_desk_can_read_who_was_signed_out_by_the_provider(
    site: Site, browser: Browser
) -> None:
    browser.sign_in(FINANCE)
    site.provider.backchannel_logout(sid=newest_sid(site))
    [(actor, subject)] = site.rows(
        "SELECT actor, subject FROM accounts_auditentry "
        "WHERE event = 'session:logged-out-by-provider' ORDER BY id DESC LIMIT 1"
    )
    assert actor == "provider"
    assert subject


def test_no_refresh_token_is_left_that_could_outlive_the_session(
    site: Site, browser: Browser
) -> None:
    browser.sign_in(SUPPORT)
    given = list(site.provider.state._refresh)
    rows = site.rows("SELECT extra_data FROM social_auth_usersocialauth")
    assert given
    assert not [token for token in given if token in str(rows)]
