"""Journeys through an OpenID provider that is certified and not ours."""

from __future__ import annotations

import re
import time
from urllib.parse import parse_qs, urljoin, urlsplit

import pytest
import requests

from tests.journeys.site import COOKIE, Browser, Site, form_action
from tests.provider.conftest import Provider, database_text, store_bytes

STAFF, ADMIN, GUEST = "staff-1", "admin-1", "guest-1"
ECHO = "/api/proxy/echo/"


def callback(browser: Browser, sub: str) -> str:
    """Signs in at the provider; gives the way back to the site, not yet walked."""
    people = browser.choose_provider()
    target = urljoin(people.url, form_action(people.text, "/sign-in"))
    answer = browser.http.post(target, data={"sub": sub}, allow_redirects=False)
    while not (onward := _location(answer)).startswith(browser.url):
        answer = browser.http.get(onward, allow_redirects=False)
    return onward


def _location(answer: requests.Response) -> str:
    return urljoin(answer.url, answer.headers["Location"])


def is_signed_in(browser: Browser) -> bool:
    return browser.call(ECHO).status_code == 200


def was_asked_who(page: requests.Response, provider: Provider) -> bool:
    """Whether the provider wants to know who is there."""
    return page.url.startswith(f"{provider.issuer}/interaction/")


def test_signing_in_comes_back_to_where_one_was_going(browser: Browser) -> None:
    page = browser.sign_in(STAFF, next_path="/sessions/?from=here")
    assert page.status_code == 200
    assert page.url == f"{browser.url}/sessions/?from=here"
    assert is_signed_in(browser)


def test_authorization_request_is_a_code_flow_with_pkce_state_and_nonce(
    browser: Browser, provider: Provider
) -> None:
    browser.sign_in(STAFF)
    asked = provider.events("authorization.success")[-1]["asked"]
    assert asked["response_type"] == "code"
    assert asked["code_challenge_method"] == "S256"
    assert asked["redirect_uri"] == f"{browser.url}/sso/complete/oidc/"
    assert {"openid", "groups"} <= set(asked["scope"].split())
    assert all(asked[name] for name in ("state", "nonce", "code_challenge"))


def test_client_secret_travels_in_the_header(
    browser: Browser, provider: Provider
) -> None:
    browser.sign_in(STAFF)
    assert provider.events("grant.success")[-1]["by"] == "Basic"


def test_profile_comes_from_userinfo(browser: Browser) -> None:
    home = browser.sign_in(STAFF)
    assert "박지훈" in home.text
    headers = {
        name.lower(): value for name, value in browser.call(ECHO).json()["headers"]
    }
    assert headers["x-staff-sub"] == STAFF
    assert headers["x-staff-department"] == "Support"
    assert headers["x-staff-groups"] == "staff,support"


def test_provider_refuses_a_request_without_pkce_and_so_do_we(
    browser: Browser, provider: Provider
) -> None:
    asked = browser.choose_provider().history[0].headers["Location"]
    bare = re.sub(r"&code_challenge(_method)?=[^&]*", "", asked)
    page = browser.http.get(bare, timeout=60)
    assert page.url.startswith(f"{browser.url}/sso/complete/oidc/")
    assert page.status_code == 500
    assert "PKCE" in provider.events("authorization.error")[-1]["detail"]
    assert not is_signed_in(browser)


def test_code_of_another_browser_opens_nothing(
    site: Site, browser: Browser, provider: Provider
) -> None:
    stolen = parse_qs(urlsplit(callback(site.browser(), ADMIN)).query)["code"][0]
    own = callback(browser, STAFF)
    page = browser.http.get(re.sub(r"code=[^&]*", f"code={stolen}", own), timeout=60)
    assert page.status_code == 403
    assert "code_verifier" in provider.events("grant.error")[-1]["detail"]
    assert not is_signed_in(browser)


def test_callback_works_once_and_only_in_its_own_browser(
    site: Site, browser: Browser
) -> None:
    address = callback(browser, STAFF)
    assert site.browser().get(address).status_code == 403
    assert browser.get(address).status_code == 200
    key = browser.session_key
    assert browser.get(address).url == f"{browser.url}/"
    assert browser.session_key == key


def test_not_staff_is_refused_and_leaves_nothing(site: Site, browser: Browser) -> None:
    page = browser.sign_in(GUEST)
    assert page.status_code == 403
    assert site.rows("SELECT 1 FROM accounts_user WHERE sub = ?", GUEST) == []
    assert not is_signed_in(browser)
    assert browser.get("/").url.endswith("/sign-in/?next=/")


def test_cancelling_at_the_provider_is_said_in_our_words(browser: Browser) -> None:
    page = browser.submit(browser.choose_provider(), "/cancel")
    assert page.status_code == 403
    assert "The sign-in was cancelled" in page.text
    assert "not today" not in page.text


def test_second_sign_in_is_not_asked_again_and_changes_the_key(
    site: Site, browser: Browser
) -> None:
    browser.sign_in(STAFF)
    first = str(browser.session_key)
    browser.http.cookies.clear(domain="localhost.local", path="/", name=COOKIE)
    page = browser.choose_provider("/sessions/")
    assert page.url == f"{browser.url}/sessions/"
    assert browser.session_key not in {None, first}


def test_provider_tokens_are_in_neither_database_nor_store(
    site: Site, browser: Browser, provider: Provider
) -> None:
    browser.sign_in(STAFF)
    assert provider.events("refresh_token.saved")
    database, store = database_text(site), store_bytes(site)
    log = (site.folder / "site.log").read_text()
    for secret in [*provider.secrets(), str(browser.session_key), "eyJ"]:
        assert secret not in database
        assert secret.encode() not in store
    assert "eyJ" not in log
    assert str(browser.session_key) not in log


def test_store_names_nobody(site: Site, browser: Browser) -> None:
    browser.sign_in(STAFF)
    store = store_bytes(site)
    for name in ("박지훈", "jihoon", STAFF, "example.com", "support"):
        assert name.encode() not in store


def test_sign_out_ends_it_here_before_the_provider_is_asked(
    site: Site, browser: Browser
) -> None:
    home = browser.sign_in(STAFF)
    key = str(browser.session_key)
    asked = browser.submit(home, "/sign-out/")
    assert "/session/end" in asked.url
    replayed = site.browser().call(ECHO, cookies={COOKIE: key})
    assert replayed.status_code == 401


def test_sign_out_confirmed_at_the_provider_ends_it_there(
    browser: Browser, provider: Provider
) -> None:
    asked = browser.submit(browser.sign_in(STAFF), "/sign-out/")
    page = browser.submit(asked, "/session/end/confirm", logout="yes")
    assert page.url.startswith(f"{browser.url}/signed-out/?state=")
    assert page.status_code == 200
    assert provider.events("session.destroyed")[-1]["account"] == STAFF
    assert provider.events("grant.revoked")
    assert was_asked_who(browser.choose_provider(), provider)


def test_killed_here_means_killed_whatever_the_provider_thinks(
    site: Site, browser: Browser
) -> None:
    browser.sign_in(STAFF)
    site.manage("purge_sessions", "--user", STAFF, "--yes")
    assert browser.call(ECHO).status_code == 401
    assert "/sign-in/" in browser.get("/").url


def test_provider_with_new_signing_keys_is_believed_at_once(
    site: Site, browser: Browser, provider: Provider
) -> None:
    browser.sign_in(STAFF)
    provider.stop()
    provider.key_file.unlink()
    provider.start()
    another = site.browser()
    assert another.sign_in(STAFF).status_code == 200
    assert is_signed_in(another)


@pytest.mark.parametrize("path", ["/", ECHO])
def test_provider_that_is_down_matters_to_no_live_session(
    browser: Browser, provider: Provider, path: str
) -> None:
    browser.sign_in(STAFF)
    provider.stop()
    assert browser.call(path).status_code == 200


def test_provider_that_dies_before_the_code_is_exchanged_is_a_502(
    browser: Browser, provider: Provider
) -> None:
    address = callback(browser, STAFF)
    provider.stop()
    began = time.monotonic()
    page = browser.get(address)
    assert page.status_code == 502
    assert time.monotonic() - began < 10
    assert not is_signed_in(browser)
