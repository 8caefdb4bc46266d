from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Hashable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from requests.structures import CaseInsensitiveDict

from backoffice.proxy import pool, wire
from backoffice.proxy.address import parse_address
from backoffice.proxy.answer import Answer
from backoffice.proxy.connection import EVERYBODY, Call
from backoffice.proxy.errors import BadAnswer
from backoffice.proxy.wire import send
from tests.fakes.certificate import write_certificate
from tests.fakes.upstream import (
    HELLO,
    Talk,
    Upstream,
    answer,
    chunked,
    closing,
    dripping,
    hanging,
    resetting,
)
from tests.waiting import wait_until

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
BROKEN = OSError


def get(
    upstream: Upstream,
    target: str = "/",
    within: float = 5,
    ca: str | None = None,
    method: str = "GET",
    owner: Hashable = EVERYBODY,
    body: list[bytes] | None = None,
) -> Answer:
    request = requests.PreparedRequest()
    request.method, request.url = method, upstream.url + target
    request.headers = CaseInsensitiveDict()
    request.body = body  # type: ignore[assignment]
    call = Call(target, 5, 5, time.monotonic() + within)
    call.route, call.owner = "members", owner
    return send(request, call, parse_address(upstream.url), ca)


def read(answer: Answer) -> bytes:
    data = b""
    try:
        while piece := answer.read():
            data += piece
    finally:
        answer.close()
    return data


def read_all(upstream: Upstream, *answers: bytes | Any) -> list[bytes]:
    upstream.answers = list(answers)
    return [read(get(upstream)) for _ in answers]


@pytest.mark.parametrize(
    "target", ["/a%2fb/%c3%a9", "/a|b[c]^", "/x?", "/x?a=%zz&b={}", "/%7E;v=1?/?"]
)
def test_the_target_goes_out_byte_for_byte(upstream: Upstream, target: str) -> None:
    read(get(upstream, target))
    assert upstream.last.target == target.encode()


def test_one_connection_serves_many_calls(upstream: Upstream) -> None:
    assert read_all(upstream, HELLO, HELLO, HELLO) == [b"hello"] * 3
    assert upstream.connections == 1


def test_a_connection_is_kept_after_chunks(upstream: Upstream) -> None:
    body = CHUNKED + chunked(b"ab", b"c")
    assert read_all(upstream, body, HELLO) == [b"abc", b"hello"]
    assert upstream.connections == 1


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_an_answer_without_a_body_may_lie_about_chunks(
    upstream: Upstream, status: str
) -> None:
    bare = f"HTTP/1.1 {status}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    assert read_all(upstream, bare, HELLO) == [b"", b"hello"]


def test_an_idle_connection_is_not_used_again(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "IDLE_SECONDS", 0)
    read_all(upstream, HELLO, HELLO)
    assert upstream.connections == 2


def calls_at_once(upstream: Upstream, number: int) -> None:
    """So many calls, each answered only when all of them have come."""
    together = threading.Barrier(number)

    def act(talk: Talk) -> bool:
        together.wait(60)
        talk.say(HELLO)
        return True

    upstream.answers = [act]
    with ThreadPoolExecutor(number) as threads:
        found = threads.map(lambda _: read(get(upstream)), range(number))
        assert list(found) == [b"hello"] * number
    upstream.answers = [HELLO]


def test_no_more_connections_are_kept_than_that(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "IDLE_CONNECTIONS", 3)
    # Long enough for a busy machine to see them before they are closed as idle.
    monkeypatch.setattr(pool, "IDLE_SECONDS", 5)
    calls_at_once(upstream, 8)
    assert wait_until(lambda: len(upstream.open) == 3)


def test_what_lies_idle_is_closed_although_nobody_calls_any_more(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "IDLE_SECONDS", 3)
    for _ in range(2):
        calls_at_once(upstream, 8)
        assert len(upstream.open) == 8
        assert wait_until(lambda: not upstream.open)


def test_a_call_that_gets_no_thread_to_sweep_with_is_answered_all_the_same(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert wait_until(lambda: not wire._sweeping.locked())

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    found = get(upstream)
    with monkeypatch.context() as none_left:
        none_left.setattr(threading.Thread, "start", refuse)
        assert read(found) == b"hello"
    assert len(upstream.open) == 1
    assert read(get(upstream)) == b"hello"
    assert wait_until(lambda: not upstream.open)


def test_bytes_after_an_answer_never_become_the_next_one(upstream: Upstream) -> None:
    evil = answer(body=b"evil")
    assert read_all(upstream, HELLO + evil, HELLO) == [b"hello", b"hello"]
    assert upstream.connections == 2


def test_an_answer_nobody_asked_for_is_not_waiting_on_the_connection(
    upstream: Upstream,
) -> None:
    is_read, is_said = threading.Event(), threading.Event()

    def late(talk: Talk) -> None:
        talk.say(HELLO)
        is_read.wait(60)
        talk.say(answer(body=b"evil"))
        is_said.set()
        talk.is_gone()

    upstream.answers = [late, HELLO]
    assert read(get(upstream)) == b"hello"
    is_read.set()
    assert is_said.wait(60)
    assert read(get(upstream)) == b"hello"


def test_a_half_read_connection_is_not_used_again(upstream: Upstream) -> None:
    upstream.answers = [answer(body=b"a" * 100_000), HELLO]
    response = get(upstream)
    assert 0 < len(response.read()) < 100_000
    response.close()
    assert read(get(upstream)) == b"hello"
    assert upstream.connections == 2


@pytest.mark.parametrize(
    "status", ["100 Continue", "102 Processing", "103 Early Hints"]
)
def test_what_comes_before_the_answer_is_not_the_answer(
    upstream: Upstream, status: str
) -> None:
    early = f"HTTP/1.1 {status}\r\nLink: </a>\r\n\r\n".encode()
    assert read_all(upstream, early + early + HELLO, HELLO) == [b"hello"] * 2


OK = b"HTTP/1.1 200 OK\r\n"
MALFORMED_HEADS = {
    "nothing": b"",
    "garbage": b"garbage\r\n\r\n",
    "odd-status": b"HTTP/1.1 abc OK\r\n\r\n",
    "odd-version": b"HTTP/3.0 200 OK\r\n\r\n",
    "upgraded": b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n",
    "status-600": b"HTTP/1.1 600 Odd\r\nContent-Length: 0\r\n\r\n",
    "cut-in-a-field": OK + b"Content-Le",
    "cut-before-its-end": OK + b"Content-Length: 5\r\n",
    "line-without-colon": OK + b"no colon here\r\nContent-Length: 0\r\n\r\n",
    "space-before-colon": OK + b"Content-Length : 0\r\n\r\n",
    "two-lengths": OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "negative-length": OK + b"Content-Length: -1\r\n\r\n",
    "length-and-chunks": OK
    + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    "other-coding": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
    "unknown-coding": OK + b"Transfer-Encoding: xchunked\r\n\r\n",
    "endless-fields": OK + b"X: y\r\n" * 200 + b"\r\n",
    "endless-field": OK + b"X: " + b"y" * 70_000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("name", MALFORMED_HEADS)
def test_a_malformed_head_is_no_answer(upstream: Upstream, name: str) -> None:
    upstream.answers = [closing(MALFORMED_HEADS[name]), HELLO]
    with pytest.raises(BROKEN):
        get(upstream)
    assert read(get(upstream)) == b"hello"


BROKEN_BODIES = {
    "short": closing(OK + b"Content-Length: 9\r\n\r\nhalf"),
    "reset": resetting(OK + b"Content-Length: 9\r\n\r\nhalf"),
    "no-last-chunk": closing(CHUNKED + chunked(b"half", end=b"")),
    "half-a-chunk": closing(CHUNKED + b"9\r\nhalf"),
    "no-chunk": closing(CHUNKED + b"zz\r\n"),
    "no-chunk-with-an-end": closing(CHUNKED + b"zz\r\n\r\n"),
    "more-than-the-chunk": closing(CHUNKED + b"2\r\nabc\r\n0\r\n\r\n"),
    "line-feed-in-a-trailer": closing(CHUNKED + b"0\r\nX: a\nY: b\r\n\r\n"),
    "return-in-a-trailer": closing(CHUNKED + b"0\r\nX: a\rY: b\r\n\r\n"),
    "endless-trailer": closing(
        CHUNKED + b"0\r\n" + (b"X: " + b"y" * 1000 + b"\r\n") * 100 + b"\r\n"
    ),
}


@pytest.mark.parametrize("name", BROKEN_BODIES)
def test_a_body_that_breaks_off_is_an_error(upstream: Upstream, name: str) -> None:
    upstream.answers = [BROKEN_BODIES[name], HELLO]
    with pytest.raises(BROKEN):
        read(get(upstream))
    assert read(get(upstream)) == b"hello"


ENDLESS = {
    "head": OK + b"X: " + b"y" * 70_000,
    "chunk-head": CHUNKED + b"1" * 5_000,
    "chunk-extension": CHUNKED + b"1;" + b"x" * 5_000,
    "trailer-line": CHUNKED + b"0\r\nX: " + b"y" * 5_000,
}


@pytest.mark.parametrize("name", ENDLESS)
def test_a_line_without_an_end_is_not_gathered_until_the_time_is_up(
    upstream: Upstream, name: str
) -> None:
    """It would fill the memory, and the total time of a route may be an hour."""
    upstream.answers = [hanging(ENDLESS[name])]
    with pytest.raises(BadAnswer):
        read(get(upstream))


def idle_connections(upstream: Upstream) -> int:
    return len(wire._adapter_for(parse_address(upstream.url), None).idle)


NOT_REUSABLE = {
    "bytes-after-it": HELLO + b"HTTP/1.1 200 OK\r\n",
    "says-close": answer(fields=[("Connection", "close")], body=b"hello"),
    "of-http-1.0": b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
}


@pytest.mark.parametrize("name", NOT_REUSABLE)
def test_a_connection_in_doubt_is_not_kept(upstream: Upstream, name: str) -> None:
    """Whether it is quiet is asked again before it is used, but not instead."""
    upstream.answers = [NOT_REUSABLE[name]]
    assert read(get(upstream)) == b"hello"
    assert idle_connections(upstream) == 0


def test_a_connection_with_half_an_answer_to_come_is_not_kept(
    upstream: Upstream,
) -> None:
    """Nothing waits on it yet, so it looks quiet; the rest comes to the next person."""
    upstream.answers = [hanging(OK + b"Content-Length: 9\r\n\r\nhalf")]
    response = get(upstream)
    assert response.read() == b"half"
    response.close()
    assert idle_connections(upstream) == 0


def test_a_connection_whose_upstream_stopped_listening_is_not_kept(
    upstream: Upstream,
) -> None:
    response = get(upstream)
    assert response._connection
    response._connection.is_spoilt = True
    assert read(response) == b"hello"
    assert idle_connections(upstream) == 0


def test_a_sound_connection_is_kept(upstream: Upstream) -> None:
    assert read(get(upstream)) == b"hello"
    assert idle_connections(upstream) == 1


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"])
def test_a_field_with_a_line_break_is_not_sent(upstream: Upstream, end: str) -> None:
    request = requests.PreparedRequest()
    request.method, request.url, request.body = "GET", upstream.url, None
    request.headers = CaseInsensitiveDict({"X-Team": f"a{end}X-Staff-User: root"})
    call = Call("/", 5, 5, time.monotonic() + 5)
    with pytest.raises(ValueError, match="line break"):
        send(request, call, parse_address(upstream.url))
    assert not upstream.requests


BUSY = {
    "silent": hanging(b""),
    "dripping-head": dripping(OK + b"X: " + b"y" * 1000),
    "dripping-body": dripping(b"y" * 1000, after=OK + b"\r\n"),
}


@pytest.mark.parametrize("name", BUSY)
def test_time_is_up_however_busy_the_upstream_looks(
    upstream: Upstream, name: str
) -> None:
    upstream.answers = [BUSY[name]]
    with pytest.raises(BROKEN):
        read(get(upstream, within=0.3))


def test_a_call_without_time_is_not_made(upstream: Upstream) -> None:
    with pytest.raises(TimeoutError):
        get(upstream, within=0)
    assert upstream.connections == 0


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A key and a certificate for 127.0.0.1 that no public authority has signed."""
    path = tmp_path_factory.mktemp("tls") / "upstream.pem"
    write_certificate(path)
    return str(path)


@pytest.fixture
def secure(certificate: str) -> Iterator[Upstream]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with Upstream(tls=context) as server:
        yield server


def test_tls_keeps_the_same_promises(secure: Upstream, certificate: str) -> None:
    for _ in range(2):
        assert read(get(secure, "/a%2fb", ca=certificate)) == b"hello"
    assert secure.last.target == b"/a%2fb"
    assert secure.connections == 1


def test_time_is_up_under_tls_too(secure: Upstream, certificate: str) -> None:
    secure.answers = [hanging(OK)]
    with pytest.raises(BROKEN):
        get(secure, ca=certificate, within=0.3)


def test_a_certificate_for_another_name_is_refused(tmp_path: Path) -> None:
    """One that the authority signed for somebody else; the rest of it is right."""
    path = tmp_path / "other.pem"
    write_certificate(path, "127.0.0.2", "other.internal")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    with Upstream(tls=context) as other:
        with pytest.raises(requests.exceptions.SSLError, match="mismatch"):
            get(other, ca=str(path))
        assert not other.requests


def test_an_unknown_certificate_is_refused(secure: Upstream) -> None:
    with pytest.raises(requests.exceptions.SSLError):
        get(secure)
    assert not secure.requests
