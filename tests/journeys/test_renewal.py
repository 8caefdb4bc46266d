"""The provider asked again while people work, by two processes and their threads."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import redis

from tests.journeys.site import COOKIE, SUPPORT, Browser, Site, running_site
from tests.waiting import wait_until

RENEW_SECONDS = 1
REFUSED = "SELECT 1 FROM accounts_auditentry WHERE event = 'session:renewal-refused'"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    with running_site(folder, OIDC_RENEW_SECONDS=str(RENEW_SECONDS)) as running:
        yield running


@pytest.fixture(autouse=True)
def the_company_as_it_was(site: Site) -> Iterator[None]:
    staff = dict(site.provider.state.staff)
    site.provider.requests.clear()
    yield
    site.provider.faults.clear()
    site.provider.state.staff = staff


def move(site: Site, *groups: str) -> None:
    person = site.provider.state.staff[SUPPORT]
    site.provider.state.staff[SUPPORT] = replace(person, groups=groups)


def let_time_pass(site: Site) -> None:
    """It is due, and as if nobody had used any session for two minutes."""
    time.sleep(RENEW_SECONDS + 0.1)
    with redis.Redis.from_url(site.store.url) as store:
        for name in store.scan_iter(match="bo:{*}:s:*"):
            store.pexpireat(name, store.pexpiretime(name) - 120_000)


def refreshes(site: Site) -> int:
    return sum(
        request.path == "/token" and request.form["grant_type"] == "refresh_token"
        for request in site.provider.requests
    )


def status_of(browser: Browser, path: str) -> int:
    return browser.call(path).status_code


def test_changed_groups_open_and_close_routes_without_a_sign_in(
    site: Site, browser: Browser
) -> None:
    browser.sign_in(SUPPORT)
    assert status_of(browser, "/api/proxy/reports/") == 403
    move(site, "staff", "finance")
    let_time_pass(site)
    assert wait_until(lambda: status_of(browser, "/api/proxy/reports/") == 200)
    assert status_of(browser, "/api/proxy/members/") == 403


def test_session_that_ended_at_the_provider_ends_here(
    site: Site, browser: Browser
) -> None:
    """Without a back-channel logout, which may get lost or not exist."""
    browser.sign_in(SUPPORT)
    for sid in list(site.provider.state.sessions):
        site.provider.state.end_session(sid)
    let_time_pass(site)
    assert wait_until(lambda: status_of(browser, "/api/proxy/echo/") == 401)
    # The session is dead before that is written down.
    assert wait_until(lambda: bool(site.rows(REFUSED)))


def test_two_processes_and_many_threads_ask_once(site: Site, browser: Browser) -> None:
    browser.sign_in(SUPPORT)
    site.provider.faults.add("late", endpoint="token", seconds=0.5)
    let_time_pass(site)
    cookie = {COOKIE: str(browser.session_key)}

    def call(_: int) -> int:
        return status_of(Person(site, cookie), "/api/proxy/echo/")

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(call, range(64))) == {200}
    assert wait_until(lambda: refreshes(site) == 1)
    assert status_of(browser, "/api/proxy/echo/") == 200
    assert refreshes(site) == 1


def test_hanging_provider_holds_nobody_up(site: Site, browser: Browser) -> None:
    browser.sign_in(SUPPORT)
    site.provider.faults.add("late", endpoint="token", seconds=3.0)
    let_time_pass(site)
    for _ in range(20):
        assert status_of(browser, "/api/proxy/echo/") == 200
    assert wait_until(lambda: refreshes(site) == 1)


class Person(Browser):
    """Another connection with the same cookie."""

    def __init__(self, site: Site, cookies: dict[str, str]) -> None:
        super().__init__(site.url)
        self.http.cookies.update(cookies)
