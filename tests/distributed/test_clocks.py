"""P2 where hosts disagree about the time: nobody's clock decides whom an end ends."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from backoffice.demo.children import Child
from tests import faketime, nginx
from tests.doors.server import running_nginx
from tests.journeys.site import (
    COOKIE,
    FINANCE,
    ROOT,
    SUPPORT,
    Browser,
    Site,
    running_site,
)
from tests.journeys.test_first_light import own_session_id
from tests.ports import reserved_port
from tests.waiting import wait_until

GATED = "/api/proxy/echo/"
TEN_MINUTES = 600
IDLE_SECONDS = 1800
OFFSETS = [-TEN_MINUTES, -20, 60, TEN_MINUTES]

pytestmark = pytest.mark.skipif(faketime.find() is None, reason=faketime.HOW_TO_GET_IT)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    with running_site(folder, TRUSTED_PROXIES="127.0.0.1") as running:
        yield running


def end_sessions(
    site: Site, offset: float, *which: str
) -> subprocess.CompletedProcess[str]:
    """Ends sessions from a host whose clock is ahead by so much."""
    elsewhere = replace(
        site, environment=site.environment | faketime.environment(offset)
    )
    return elsewhere.manage("purge_sessions", *which, "--yes", check=False)


def signed_in(site: Site, sub: str = SUPPORT) -> Browser:
    browser = site.browser()
    browser.sign_in(sub)
    assert browser.call(GATED).status_code == 200
    return browser


@pytest.mark.parametrize("offset", OFFSETS)
def test_end_of_one_session_from_such_a_host(site: Site, offset: float) -> None:
    victim, other = signed_in(site), signed_in(site)
    done = end_sessions(site, offset, "--session", own_session_id(victim))
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "1 session ended.")
    assert victim.call(GATED).status_code == 401
    assert other.call(GATED).status_code == 200


@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize("which", ["--user", "--everyone"])
def test_end_of_all_from_such_a_host(site: Site, offset: float, which: str) -> None:
    victim, other = signed_in(site), signed_in(site, FINANCE)
    named = [which, SUPPORT] if which == "--user" else [which]
    done = end_sessions(site, offset, *named)
    assert done.returncode == 0, done.stderr
    assert victim.call(GATED).status_code == 401
    assert other.call(GATED).status_code == (200 if which == "--user" else 401)
    # Nobody who signs in afterwards is taken for one who did before.
    back = signed_in(site)
    # Each on a connection of its own, so that all processes are asked.
    cookies = {COOKIE: str(back.session_key)}
    for _ in range(20):
        found = Browser(site.url).call(GATED, cookies=cookies)
        assert found.status_code == 200


@contextmanager
def another_host(site: Site, folder: Path, offset: float) -> Iterator[str]:
    """The same site on a host whose clock is ahead by so much; its address."""
    port = reserved_port()
    server = Child(
        "another host",
        [sys.executable, "-m", "gunicorn", "-c", "backoffice/server.py"],
        log=folder / "another.log",
        environment=site.environment
        | faketime.environment(offset)
        | {"PORT": str(port)},
        folder=ROOT,
    )
    url = f"http://localhost:{port}"
    try:
        browser = Browser(url)
        assert wait_until(lambda: _answers(browser))
        yield url
    finally:
        server.stop(10)


def _answers(browser: Browser) -> bool:
    try:
        return browser.get("/readyz").status_code == 200
    except OSError:
        return False


@pytest.mark.parametrize("offset", [-TEN_MINUTES, TEN_MINUTES])
def test_use_through_such_a_host_neither_lengthens_nor_shortens_a_life(
    site: Site, tmp_path: Path, offset: float
) -> None:
    browser = signed_in(site)
    identifier = own_session_id(browser)
    name = f"bo:{{{identifier[0]}}}:s:{identifier}"
    with (
        redis.Redis.from_url(site.store.url) as store,
        another_host(site, tmp_path, offset) as url,
    ):
        # Last used long enough ago for the next use to be noted.
        store.pexpireat(name, store.pexpiretime(name) - TEN_MINUTES * 1000)
        there = Browser(url)
        cookies = {"session_id": str(browser.session_key)}
        assert there.call(GATED, cookies=cookies).status_code == 200
        left = store.pttl(name) / 1000
        assert IDLE_SECONDS - 60 < left <= IDLE_SECONDS + 1
        assert browser.call(GATED).status_code == 200
        told = (tmp_path / "another.log").read_text(encoding="utf-8")
        assert f"clock_skew seconds={offset:.1f}"[:-2] in told


def test_sign_in_through_such_a_host_fails_and_the_log_says_why(
    tmp_path: Path,
) -> None:
    with running_site(tmp_path, **faketime.environment(TEN_MINUTES)) as site:
        browser = site.browser()
        assert browser.sign_in(SUPPORT).status_code == 403
        told = (tmp_path / "site.log").read_text(encoding="utf-8")
        assert "clock_skew seconds=600" in told


@pytest.mark.skipif(nginx.find() is None, reason=nginx.HOW_TO_GET_IT)
@pytest.mark.parametrize("offset", [-TEN_MINUTES, TEN_MINUTES])
def test_nginx_with_lua_on_such_a_host_goes_by_the_store(
    site: Site, tmp_path: Path, offset: float
) -> None:
    browser = signed_in(site)
    identifier = own_session_id(browser)
    name = f"bo:{{{identifier[0]}}}:s:{identifier}"
    with (
        redis.Redis.from_url(site.store.url) as store,
        running_nginx(
            site, tmp_path, "script", environment=faketime.environment(offset)
        ) as url,
    ):
        there, cookies = Browser(url), {"session_id": str(browser.session_key)}

        def status() -> int:
            return there.call(GATED, cookies=cookies).status_code

        # 503 until the store is fenced, and never a 401.
        seen: list[int] = []
        assert wait_until(lambda: seen.append(status()) or seen[-1] == 200)
        assert set(seen) <= {200, 503}
        # Five minutes are left: none, by a clock that is ten ahead.
        store.pexpire(name, TEN_MINUTES * 500)
        assert status() == 200
        end_sessions(site, 0, "--everyone")
        assert status() == 401
