"""An upstream that fails in every way it can, at each door: 502 or 504 in time, nothing
sent twice, and nothing of one person's answer in another's."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from backoffice.proxy.errors import Refusal
from tests.doors.house import Answer, Door, proof, read_until, seconds_until_closed
from tests.doors.test_contract import is_refused
from tests.fakes.upstream import (
    HELLO,
    Talk,
    answer,
    chunked,
    closing,
    dripping,
    hanging,
    resetting,
)
from tests.waiting import wait_until

# The limits of the route `short`, and what a busy machine may add to them. Without them
# it would be the thirty or sixty seconds of other routes.
READ_SECONDS, TOTAL_SECONDS, GRACE_SECONDS = 2.5, 5.0, 20.0
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-Inner: 1\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"

Act = Callable[[Talk], bool | None]


def outcome(door: Door, key: str, act: Act, *fields: str, **kwargs: str) -> Answer:
    target = f"/api/proxy/short/{door.act(act)}"
    return door.ask(target, *fields, key=key, **kwargs)


def endless_header(talk: Talk) -> None:
    talk.say(HEAD)
    for number in range(20_000):
        talk.say(f"X-{number}: {'x' * 100}\r\n".encode())


@pytest.mark.parametrize(
    "act",
    [
        closing(b""),
        resetting(b""),
        closing(b"HTTP/1.1 200 OK\r\nContent-"),
        closing(b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n"),
        endless_header,
    ],
    ids=[
        *("silence", "reset", "half-a-head", "no-colon", "endless-header"),
    ],
)
def test_an_upstream_that_talks_garbage_is_down(
    door: Door, lasting_key: str, act: Act
) -> None:
    found = outcome(door, lasting_key, act)
    assert is_refused(found, Refusal.UPSTREAM_DOWN)
    assert f":{door.house.upstream.port}" not in found.head + str(found.body)


READINGS = {
    "two-lengths": HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "length-in-words": HEAD + b"Content-Length: five\r\n\r\nhello",
    "length-with-a-sign": HEAD + b"Content-Length: +5\r\n\r\nhello",
    "length-with-a-base": HEAD + b"Content-Length: 0x5\r\n\r\nhello",
    "two-framings": HEAD
    + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello",
    "chunks-and-a-length": CHUNKED[:-2]
    + b"Content-Length: 5\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "other-coding": HEAD
    + b"Transfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "coding-and-length": HEAD
    + b"Transfer-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
    "unasked-upgrade": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\nhello",
}
STATUS = {"no-status": b"hello", "other-protocol": b"HTTP/2 banana\r\n\r\nhello"}


@pytest.mark.parametrize("sent", READINGS.values(), ids=READINGS.keys())
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_head_with_two_readings_is_down(
    door: Door, lasting_key: str, sent: bytes, method: str
) -> None:
    found = outcome(door, lasting_key, lying(sent), method=method)
    assert (found.status, found.word) == (502, "upstream-down")
    assert (found.all("X-Inner"), found.all("Upgrade")) == ([], [])
    if method == "GET":
        assert is_refused(found, Refusal.UPSTREAM_DOWN)
        harms_nobody_else(door, lasting_key)
    else:
        # nginx keeps a connection after a HEAD whatever came behind the head; its next
        # call finds it closed, and that is no more than 502.
        assert wait_until(lambda: statuses(door, lasting_key) == {200})


@pytest.mark.parametrize("sent", STATUS.values(), ids=STATUS.keys())
def test_an_answer_without_a_status_line_is_down_or_cut(
    door: Door, lasting_key: str, sent: bytes
) -> None:
    """To nginx it is HTTP/0.9, and then so is what it can say itself."""
    found = outcome(door, lasting_key, lying(sent))
    if door.name == "embedded":
        assert is_refused(found, Refusal.UPSTREAM_DOWN)
    else:
        assert (found.status, found.head, found.body) == (0, "", b"")
    harms_nobody_else(door, lasting_key)


def lying(sent: bytes) -> Act:
    def act(talk: Talk) -> None:
        talk.say(sent + answer(body=b"planted"))
        # The connection stays open, for whoever would use it again.
        talk.is_gone(within=1)

    return act


def harms_nobody_else(door: Door, key: str) -> None:
    for _ in range(8):
        after = door.ask("/api/proxy/short/", key=key)
        assert (after.status, after.content) == (200, b"hello")


def statuses(door: Door, key: str) -> set[int]:
    return {door.ask("/api/proxy/short/", key=key).status for _ in range(8)}


def test_an_interim_answer_is_not_taken_for_the_answer(
    door: Door, lasting_key: str
) -> None:
    """nginx would hand out the real one as the other's body, past every rule."""
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    real = answer(fields=[("Set-Cookie", "session_id=planted")], body=b"hello")
    found = outcome(door, lasting_key, closing(hints + real))
    if door.name == "embedded":
        assert (found.status, found.content) == (200, b"hello")
    else:
        assert is_refused(found, Refusal.UPSTREAM_DOWN)
        log = door.house.site.folder.parent / door.name / "error.log"
        why = "upstream_refused because=interim status=103"
        assert wait_until(lambda: why in log.read_text())
    assert b"planted" not in found.head.encode() + found.body
    assert found.all("Link") == []


def test_a_length_beside_its_zeros_is_one_length(door: Door, lasting_key: str) -> None:
    sent = HEAD + b"Connection: close\r\nContent-Length: 005\r\n\r\nhello"
    found = outcome(door, lasting_key, closing(sent))
    assert (found.status, found.content) == (200, b"hello")


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\nContent-Ty"])
def test_an_upstream_that_says_no_more_is_slow(
    door: Door, lasting_key: str, sent: bytes
) -> None:
    found = outcome(door, lasting_key, hanging(sent))
    assert is_refused(found, Refusal.UPSTREAM_SLOW)
    assert READ_SECONDS - 0.1 < found.seconds < READ_SECONDS + GRACE_SECONDS


def test_an_upstream_that_does_not_accept_is_slow(door: Door, lasting_key: str) -> None:
    found = door.ask("/api/proxy/unaccepting/", key=lasting_key)
    assert is_refused(found, Refusal.UPSTREAM_SLOW)
    assert found.seconds < GRACE_SECONDS


@pytest.mark.parametrize(
    "act",
    [
        resetting(HEAD + b"Content-Length: 10000\r\n\r\nhello"),
        closing(HEAD + b"Content-Length: 10000\r\n\r\nhello"),
        closing(CHUNKED + b"5\r\nhello\r\n"),
        closing(CHUNKED + b"5\r\nhello\r\nzz\r\n"),
        hanging(HEAD + b"Content-Length: 10000\r\n\r\nhello"),
        hanging(CHUNKED + b"5\r\nhello\r\n"),
    ],
    ids=["reset", "short", "no-end", "no-chunk", "hangs-in-length", "hangs-in-chunks"],
)
def test_half_an_answer_never_looks_whole(
    door: Door, lasting_key: str, act: Act
) -> None:
    found = outcome(door, lasting_key, act)
    assert found.status in {0, Refusal.UPSTREAM_DOWN.status} or not found.is_whole
    assert found.seconds < READ_SECONDS + GRACE_SECONDS


def test_more_than_was_announced_is_nobody_s(door: Door, lasting_key: str) -> None:
    sent = HEAD + b"Content-Length: 5\r\n\r\nhello"
    found = outcome(door, lasting_key, lying(sent))
    assert (found.status, found.content) == (200, b"hello")
    harms_nobody_else(door, lasting_key)


def test_an_answer_that_never_ends_has_an_end(door: Door, lasting_key: str) -> None:
    """Always alive, never done: between two pieces no limit is passed."""
    drip = dripping(b"2\r\nab\r\n" * 2000, every=0.05, after=CHUNKED)
    found = outcome(door, lasting_key, drip)
    assert (found.status, found.is_whole) == (200, False)
    assert TOTAL_SECONDS - 0.1 < found.seconds < TOTAL_SECONDS + GRACE_SECONDS


def test_an_upload_that_stalls_has_an_end(door: Door, lasting_key: str) -> None:
    """The upstream waits for the client, and the call's time runs all the same."""
    head = [
        "POST /api/proxy/short/ HTTP/1.1",
        f"Host: {door.host}",
        f"Cookie: session_id={lasting_key}",
        *proof(door),
        "Content-Length: 1000000",
    ]
    began = time.monotonic()
    with door.connect() as sock:
        sock.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + b"x" * 1000)
        assert seconds_until_closed(sock) is not None
    taken = time.monotonic() - began
    assert TOTAL_SECONDS - 0.1 < taken < TOTAL_SECONDS + GRACE_SECONDS


def test_a_download_that_nobody_reads_has_an_end(door: Door, lasting_key: str) -> None:
    begun, gone = threading.Event(), threading.Event()

    def endless(talk: Talk) -> None:
        talk.say(b"HTTP/1.1 200 OK\r\nContent-Length: 9000000000\r\n\r\n")
        begun.set()
        with suppress(OSError):
            while True:
                talk.say(b"x" * 65536)
        gone.set()

    with door.open(f"/api/proxy/short/{door.act(endless)}", lasting_key):
        assert begun.wait(60)
        assert gone.wait(TOTAL_SECONDS + GRACE_SECONDS)


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("end", [Talk.reset, lambda talk: talk.sock.close()])
def test_a_call_that_may_have_arrived_is_not_made_twice(
    door: Door, lasting_key: str, method: str, end: Act
) -> None:
    heard: list[bytes] = []

    def failing(talk: Talk) -> None:
        heard.append(talk.last.line)
        time.sleep(0.1)
        end(talk)

    fields = *proof(door), "Content-Length: 0"
    found = outcome(door, lasting_key, failing, *fields, method=method)
    assert is_refused(found, Refusal.UPSTREAM_DOWN)
    assert len(heard) == 1


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_not_on_a_connection_that_was_kept_either(
    door: Door, lasting_key: str, method: str
) -> None:
    heard: list[bytes] = []
    known: list[Talk] = []
    resets = 0

    def once(talk: Talk) -> bool:
        nonlocal resets
        heard.append(talk.last.line)
        if talk in known:
            resets += 1
            talk.reset()
            return False
        known.append(talk)
        talk.say(HELLO)
        return True

    target = f"/api/proxy/shared/{door.act(once)}"
    fields = [*proof(door), "Content-Length: 0"] if method == "POST" else []
    # As many as there are workers, and more: one of them meets the kept one.
    asked = 0
    while asked < 60 and not resets:
        door.ask(target, *fields, key=lasting_key, method=method)
        asked += 1
    # nginx keeps none after a POST.
    assert resets == (method == "GET" or door.name == "embedded")
    assert len(heard) == asked


def test_who_leaves_in_the_middle_leaves_nothing_to_the_next(
    door: Door, lasting_key: str
) -> None:
    # More than all buffers on the way can hold.
    large = closing(answer(body=b"a" * 30_000_000))
    target = f"/api/proxy/short/{door.act(large)}"
    for _ in range(4):
        with door.open(target, lasting_key) as sock:
            read_until(sock, b"aaaa")
            # Gone with a reset, and most of the answer unread.
            linger = struct.pack("ii", 1, 0)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        found = door.ask("/api/proxy/short/", key=lasting_key)
        assert (found.status, found.content) == (200, b"hello")


def test_a_bomb_is_passed_on_unopened(door: Door, lasting_key: str) -> None:
    """Ten gigabytes of nothing, as ten kilobytes: whoever opens it is on their own."""
    bomb = b"\x1f\x8b\x08" + b"\0" * 10_000
    fields = [("Content-Encoding", "gzip")]
    found = outcome(door, lasting_key, closing(answer(fields=fields, body=bomb)))
    assert found.content == bomb


def test_chunks_come_through_in_one_piece(door: Door, lasting_key: str) -> None:
    found = outcome(door, lasting_key, closing(CHUNKED + chunked(b"hel", b"lo")))
    assert (found.content, found.is_whole) == (b"hello", True)
