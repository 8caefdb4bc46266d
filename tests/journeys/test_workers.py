"""SES-09, W1, R11: the processes of the site, killed, exchanged, all awake at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.journeys.site import ADMIN, COOKIE, SUPPORT, Browser, Site
from tests.journeys.test_first_light import end_sessions, own_session_id
from tests.topology import wait_for_disk
from tests.waiting import wait_until

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="needs Linux's /proc"
)

GATED = "/api/proxy/echo/"


def workers(site: Site) -> list[int]:
    """The processes that answer, as the kernel lists them."""
    assert site.server
    pid = site.server.pid
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return sorted(map(int, found))


@contextmanager
def stopped(*pids: int) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def status_for(site: Site, key: str) -> int:
    """The gate's answer to this key, on a connection of its own."""
    return site.browser().call(GATED, cookies={COOKIE: key}).status_code


def statuses(site: Site, key: str, times: int = 40) -> set[int]:
    """From whichever processes take so many calls at once."""
    with ThreadPoolExecutor(20) as pool:
        return set(pool.map(lambda _: status_for(site, key), range(times)))


@pytest.fixture
def key(browser: Browser) -> str:
    browser.sign_in(SUPPORT)
    return str(browser.session_key)


@pytest.fixture
def desk(another_browser: Browser) -> Browser:
    another_browser.sign_in(ADMIN)
    return another_browser


def test_kill_is_known_to_each_worker_at_once(
    site: Site, browser: Browser, key: str, desk: Browser
) -> None:
    """SES-09: each is asked alone, the others being stopped."""
    victim, pids = own_session_id(browser), workers(site)
    assert len(pids) == 2
    for pid in pids:
        with stopped(*set(pids) - {pid}):
            assert status_for(site, key) == 200
    end_sessions(desk, victim)
    for pid in pids:
        with stopped(*set(pids) - {pid}):
            assert status_for(site, key) == 401


def test_workers_share_no_connection_to_the_store(site: Site, key: str) -> None:
    """W1: nothing that was open before the fork is used after it."""
    assert statuses(site, key) == {200}
    one, two = (sockets_to_the_store(site, pid) for pid in workers(site))
    assert one
    assert two
    assert one.isdisjoint(two)


def sockets_to_the_store(site: Site, pid: int) -> set[str]:
    """Inodes of this process's sockets, but for the one that all listen on."""
    assert site.server

    def of(process: int) -> set[str]:
        links = (os.readlink(each) for each in Path(f"/proc/{process}/fd").iterdir())
        return {link for link in links if link.startswith("socket:")}

    return of(pid) - of(site.server.pid)


def test_worker_that_is_killed_loses_no_kill_and_signs_nobody_out(
    site: Site, browser: Browser, key: str, desk: Browser
) -> None:
    """W1: calls go on at the other one, and the next worker knows what was ended."""
    doomed = site.browser()
    doomed.sign_in(SUPPORT)
    end_sessions(desk, own_session_id(doomed))
    before = workers(site)
    os.kill(before[0], signal.SIGKILL)
    assert wait_until(lambda: len(workers(site)) == 2 and workers(site) != before)
    assert wait_until(lambda: statuses(site, key) == {200})
    assert statuses(site, str(doomed.session_key)) == {401}


def test_graceful_reload_under_load_refuses_nobody_and_loses_no_kill(
    site: Site, browser: Browser, key: str, desk: Browser
) -> None:
    """W1: HUP exchanges every worker, with a kill in the midst of it."""
    doomed = site.browser()
    doomed.sign_in(SUPPORT)
    victim, dead_key = own_session_id(doomed), str(doomed.session_key)
    before, seen, done = workers(site), [], threading.Event()

    def go_on() -> None:
        while not done.is_set():
            seen.append(status_for(site, key))

    threads = [threading.Thread(target=go_on) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert site.server
    os.kill(site.server.pid, signal.SIGHUP)
    end_sessions(desk, victim)
    assert statuses(site, dead_key) == {401}
    exchanged = wait_until(
        lambda: set(workers(site)).isdisjoint(before) and len(workers(site)) == 2
    )
    done.set()
    for thread in threads:
        thread.join()
    assert exchanged
    assert set(seen) == {200}
    assert statuses(site, dead_key) == {401}


def test_store_that_restarts_under_many_sessions_is_no_storm(
    site: Site, browser: Browser, key: str
) -> None:
    """R11: one question to SQL for each process, none to the provider, no sign-out."""
    log = site.folder / "site.log"
    replays = log.read_text().count("ledger_replayed")
    asked = len(site.provider.requests)
    wait_for_disk(site.store)
    site.store.kill()
    site.store.start()
    seen: set[int] = set()

    def settled() -> bool:
        found = statuses(site, key, times=200)
        seen.update(found)
        return found == {200}

    assert wait_until(settled)
    assert seen <= {200, 503}
    assert log.read_text().count("ledger_replayed") - replays <= 2 * len(workers(site))
    assert len(site.provider.requests) == asked
