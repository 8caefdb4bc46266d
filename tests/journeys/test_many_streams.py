"""One session with more open streams than the site has threads."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import requests

from tests.fakes.upstream import HELLO, Talk, Upstream
from tests.journeys.site import FINANCE, SUPPORT, Browser, Site
from tests.journeys.test_streams import begin, raw
from tests.waiting import wait_until

__all__ = ["raw"]

# More than the threads of two processes, each of which may hold six of one session.
STREAMS, MOST = 40, 12


@pytest.fixture
def over() -> Iterator[threading.Event]:
    """Set when the upstream has to end what it holds open."""
    ended = threading.Event()
    yield ended
    ended.set()


def status_on(sock: socket.socket) -> int:
    head = b""
    while b"\r\n\r\n" not in head:
        piece = sock.recv(65536)
        if not piece:
            return 0
        head += piece
    return int(head.split(b" ", 2)[1])


def is_alive(site: Site) -> bool:
    try:
        return requests.get(f"{site.url}/livez", timeout=2).ok
    except requests.RequestException:
        return False


def refusals_logged(site: Site) -> int:
    assert site.server
    return site.server.last_lines(10_000).count("requests_refused")


def serves_others(site: Site, other: Browser) -> None:
    """A probe, a sign-in, a page and a quick request of somebody else."""
    assert wait_until(lambda: is_alive(site))
    assert other.sign_in(FINANCE).ok
    assert other.get("/").ok
    assert other.call("/api/proxy/echo/").status_code == 200


def test_streams_of_one_session_leave_threads_to_everybody_else(
    site: Site, browser: Browser, raw: Upstream, over: threading.Event
) -> None:
    def events(talk: Talk) -> None:
        talk.say(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        talk.say(b"data: first\n\n")
        over.wait(120)

    browser.sign_in(SUPPORT)
    raw.answers = [events]
    with ExitStack() as opened:
        socks = [opened.enter_context(begin(site, browser)) for _ in range(STREAMS)]
        serves_others(site, site.browser())
        statuses = [status_on(sock) for sock in socks]
    assert set(statuses) == {200, 503}
    assert statuses.count(200) <= MOST
    assert 1 <= refusals_logged(site) < STREAMS - MOST
    # What they held is free again.
    over.set()
    raw.answers = [HELLO]
    assert wait_until(lambda: browser.call("/api/proxy/raw/x").status_code == 200)


def test_requests_that_hang_do_not_hold_all_threads(
    site: Site, browser: Browser, raw: Upstream, over: threading.Event
) -> None:
    def hanging(talk: Talk) -> None:
        over.wait(120)

    browser.sign_in(SUPPORT)
    raw.answers, before = [hanging], refusals_logged(site)
    with ExitStack() as opened:
        socks = [opened.enter_context(begin(site, browser)) for _ in range(STREAMS)]
        serves_others(site, site.browser())
        assert wait_until(lambda: refusals_logged(site) > before)
        over.set()
        statuses = [status_on(sock) for sock in socks]
    assert set(statuses) == {502, 503}
