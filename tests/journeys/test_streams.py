"""What a kill does to calls that are under way, on the real web server."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.fakes.upstream import HELLO, Talk, Upstream
from tests.journeys.site import COOKIE, SUPPORT, Browser, Site
from tests.journeys.test_workers import stopped, workers
from tests.waiting import wait_until

# A kill closes what is open within five seconds, on a busy machine somewhat later. What
# it does not close ends after a minute.
CUT_SECONDS = 40.0
PIECE = b"x" * 65536
MEGABYTES = 100
ROUTE = """
[[route]]
name = "raw"
upstream = "{url}"
methods = ["GET", "POST"]
max_body = 1000000000
read_timeout = 60
"""


@pytest.fixture(scope="module")
def raw(site: Site) -> Iterator[Upstream]:
    """An upstream that does as told, added to the table of the running site."""
    with Upstream() as upstream:
        routes = site.folder / "routes.toml"
        old = routes.read_text(encoding="utf-8")
        new = routes.with_suffix(".new")
        new.write_text(old + ROUTE.format(url=upstream.url), encoding="utf-8")
        os.replace(new, routes)
        browser = site.browser()
        browser.sign_in(SUPPORT)
        cookies, pids = {COOKIE: str(browser.session_key)}, workers(site)

        def is_known() -> bool:
            # Each worker takes the new table by itself, so each is asked alone.
            for pid in pids:
                with stopped(*set(pids) - {pid}):
                    found = site.browser().call("/api/proxy/raw/", cookies=cookies)
                if found.status_code != 200:
                    return False
            return True

        assert wait_until(is_known)
        yield upstream


@pytest.fixture
def signed_in(browser: Browser) -> Browser:
    browser.sign_in(SUPPORT)
    return browser


def begin(site: Site, browser: Browser, head: bytes = b"") -> socket.socket:
    """Sends the head of a call and gives the connection."""
    parts = urlsplit(site.url)
    sock = socket.create_connection((str(parts.hostname), int(parts.port or 0)), 30)
    lines = [
        head or b"GET /api/proxy/raw/x HTTP/1.1",
        f"Host: {parts.netloc}".encode(),
        f"Cookie: session_id={browser.session_key}".encode(),
        b"X-Backoffice: 1",
        f"Origin: {site.url}".encode(),
    ]
    sock.sendall(b"\r\n".join(lines) + b"\r\n\r\n")
    return sock


def kill(site: Site, browser: Browser) -> None:
    assert site.manage("purge_sessions", "--user", SUPPORT, "--yes").returncode == 0


def seconds_until_closed(sock: socket.socket) -> float:
    began = time.monotonic()
    sock.settimeout(60)
    with suppress(ConnectionError):
        while sock.recv(65536):
            pass
    return time.monotonic() - began


def seconds_until(condition: Callable[[], bool]) -> float:
    began = time.monotonic()
    assert wait_until(condition)
    return time.monotonic() - began


def test_a_kill_closes_a_silent_stream(
    site: Site, signed_in: Browser, raw: Upstream
) -> None:
    gone = threading.Event()

    def events(talk: Talk) -> None:
        talk.say(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        talk.say(b"data: first\n\n")
        if talk.is_gone(60):
            gone.set()

    raw.answers = [events]
    with closing(begin(site, signed_in)) as sock:
        received = b""
        while b"data: first\n\n" not in received:
            received += sock.recv(65536)
        kill(site, signed_in)
        assert seconds_until_closed(sock) < CUT_SECONDS
    assert gone.wait(60)


def test_a_kill_closes_a_download_that_nobody_reads(
    site: Site, signed_in: Browser, raw: Upstream
) -> None:
    begun, gone = threading.Event(), threading.Event()

    def endless(talk: Talk) -> None:
        talk.say(b"HTTP/1.1 200 OK\r\nContent-Length: 9000000000\r\n\r\n")
        begun.set()
        with suppress(OSError):
            while True:
                talk.say(PIECE)
        gone.set()

    raw.answers = [endless]
    with closing(begin(site, signed_in)):
        assert begun.wait(60)
        kill(site, signed_in)
        assert seconds_until(gone.is_set) < CUT_SECONDS


def test_a_kill_closes_an_upload_that_has_stalled(
    site: Site, signed_in: Browser, raw: Upstream
) -> None:
    head = b"POST /api/proxy/raw/x HTTP/1.1\r\nContent-Length: 1000000"
    raw.answers = [lambda talk: None]
    with closing(begin(site, signed_in, head)) as sock:
        sock.sendall(PIECE)
        time.sleep(0.5)
        kill(site, signed_in)
        assert seconds_until_closed(sock) < CUT_SECONDS


def test_a_kill_refuses_a_call_that_the_upstream_has_not_answered(
    site: Site, signed_in: Browser, raw: Upstream
) -> None:
    """K2: nothing of its answer was passed on yet, so it can still be a 401."""
    asked = threading.Event()

    def silent(talk: Talk) -> None:
        asked.set()
        talk.is_gone(60)

    raw.answers = [silent]
    with closing(begin(site, signed_in)) as sock:
        assert asked.wait(60)
        kill(site, signed_in)
        sock.settimeout(60)
        assert sock.recv(65536).startswith(b"HTTP/1.1 401 ")
    assert signed_in.call("/api/proxy/raw/x").status_code == 401


def test_a_live_session_keeps_its_stream(
    site: Site, signed_in: Browser, raw: Upstream
) -> None:
    def late(talk: Talk) -> None:
        talk.say(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nh")
        time.sleep(4)
        talk.say(b"ello")

    raw.answers = [late]
    assert signed_in.call("/api/proxy/raw/x").content == b"hello"


def test_a_client_that_leaves_frees_the_upstream(
    site: Site, signed_in: Browser, raw: Upstream
) -> None:
    gone = threading.Event()

    def endless(talk: Talk) -> None:
        talk.say(b"HTTP/1.1 200 OK\r\n\r\n")
        with suppress(OSError):
            while True:
                talk.say(PIECE)
        gone.set()

    raw.answers = [endless]
    sock = begin(site, signed_in)
    sock.recv(65536)
    sock.close()
    assert gone.wait(60)


def test_events_arrive_as_they_are_made(
    site: Site, signed_in: Browser, raw: Upstream
) -> None:
    heard = threading.Event()

    def events(talk: Talk) -> None:
        talk.say(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        talk.say(b"data: 1\n\n")
        # The second event is made only once the first one has been seen.
        if heard.wait(60):
            talk.say(b"data: 2\n\n")

    raw.answers = [events]
    with closing(begin(site, signed_in)) as sock:
        received = b""
        while b"data: 1\n\n" not in received:
            received += sock.recv(65536)
        heard.set()
        while b"data: 2\n\n" not in received:
            received += sock.recv(65536)


def test_an_upload_is_not_kept_whole_before_it_goes_on(
    site: Site, signed_in: Browser, raw: Upstream
) -> None:
    """The upstream sees the first piece before the client has sent the second."""
    seen = threading.Event()

    def sink(talk: Talk) -> None:
        if talk.unread or talk.sock.recv(10):
            seen.set()
        talk.is_gone(60)

    head = b"POST /api/proxy/raw/x HTTP/1.1\r\nContent-Length: 1000000"
    raw.hears = False
    try:
        raw.answers = [sink]
        with closing(begin(site, signed_in, head)) as sock:
            sock.sendall(PIECE)
            assert seen.wait(60)
    finally:
        raw.hears = True


def memory_of(site: Site) -> int:
    """Bytes of memory of the site's processes, the most they ever had."""
    total = 0
    for status in Path("/proc").glob("[0-9]*/status"):
        with suppress(OSError):
            command = status.with_name("cmdline").read_bytes()
            environment = status.with_name("environ").read_bytes()
            port = f"PORT={site.environment['PORT']}\0".encode()
            if b"gunicorn" in command and port in environment:
                text = status.read_text()
                peak = text.partition("VmHWM:")[2].split()[0]
                total += int(peak) * 1024
    return total


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_a_large_body_takes_no_memory_in_either_direction(
    site: Site, signed_in: Browser, raw: Upstream
) -> None:
    size = MEGABYTES * 1024 * 1024

    def large(talk: Talk) -> None:
        talk.say(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode())
        for _ in range(size // len(PIECE)):
            talk.say(PIECE)

    def sink(talk: Talk) -> None:
        taken = len(talk.unread)
        while taken < size:
            taken += len(talk.sock.recv(1 << 20))
        talk.say(HELLO)

    raw.hears = False
    try:
        raw.answers = [large]
        signed_in.call("/api/proxy/raw/warm")
        before = memory_of(site)
        assert len(signed_in.call("/api/proxy/raw/x").content) == size
        raw.answers = [sink]
        pieces = (PIECE for _ in range(size // len(PIECE)))
        answer = signed_in.call("/api/proxy/raw/x", "POST", data=_Sized(pieces, size))
        assert answer.content == b"hello"
        # Two workers, each with a buffer or two; a tenth of the body, not all of it.
        assert memory_of(site) - before < size / 10
    finally:
        raw.hears = True


class _Sized:
    """An upload that is never in memory as a whole, with its length said."""

    def __init__(self, pieces: Iterator[bytes], size: int) -> None:
        self.pieces, self.size = pieces, size

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[bytes]:
        return self.pieces

    def read(self, size: int = -1) -> bytes:
        return next(self.pieces, b"")
