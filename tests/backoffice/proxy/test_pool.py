"""Whose request a connection to an upstream may carry next, and when it is closed."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path

import pytest

from backoffice.proxy import pool
from backoffice.proxy.connection import EVERYBODY
from backoffice.proxy.errors import BadAnswer
from tests.backoffice.proxy.test_wire import CHUNKED, get, read
from tests.fakes.certificate import write_certificate
from tests.fakes.upstream import HELLO, Answer, Talk, Upstream, answer, chunked
from tests.waiting import wait_until

KIM, LEE = ("https://id.example", "kim"), ("https://id.example", "lee")
OTHER_KIM = ("https://other.example", "kim")
PLANTED = answer(body=b"planted")
OWNERS = [KIM, EVERYBODY]


def fetch(upstream: Upstream, owner: Hashable, method: str = "GET") -> bytes:
    return read(get(upstream, owner=owner, method=method))


def then(first: bytes, late: bytes, may_go_on: threading.Event) -> Answer:
    """Sends `first` at once, and `late` when the test says so."""

    def act(talk: Talk) -> bool:
        talk.say(first)
        may_go_on.wait(10)
        talk.say(late)
        return True

    return act


@pytest.mark.parametrize(
    ("method", "head"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n"),
        ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n"),
        ("GET", b"HTTP/1.1 103 Early Hints\r\n\r\n" + HELLO),
        ("GET", b"HTTP/1.1 100 Continue\r\n\r\n" + HELLO),
    ],
)
@pytest.mark.parametrize("owner", OWNERS)
def test_a_connection_is_not_used_after_a_response_that_leaves_doubt(
    upstream: Upstream, method: str, head: bytes, owner: Hashable
) -> None:
    """The body of a response that has none would be the head of the next one."""
    late = threading.Event()
    upstream.answers = [then(head, PLANTED, late), HELLO]
    fetch(upstream, owner, method)
    assert fetch(upstream, owner) == b"hello"
    late.set()
    assert fetch(upstream, owner) == b"hello"
    assert upstream.connections == 2


@pytest.mark.parametrize("owner", OWNERS)
def test_a_connection_is_not_used_after_a_request_with_a_body(
    upstream: Upstream, owner: Hashable
) -> None:
    """An upstream that does not read a body takes it for the next request."""
    upstream.hears = False
    body = b"GET /smuggled HTTP/1.1\r\n\r\n"
    read(get(upstream, owner=owner, method="POST", body=[body]))
    assert upstream.requests[0].get("Connection") == "close"
    assert fetch(upstream, owner) == b"hello"
    assert upstream.connections == 2


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_is_the_last_request_of_its_connection_says_so(
    upstream: Upstream, method: str
) -> None:
    for owner in (None, KIM, EVERYBODY):
        fetch(upstream, owner, method)
    said = [request.get("Connection") for request in upstream.requests]
    assert said == ["close", *([None] * 2 if method == "GET" else ["close"] * 2)]


def test_no_two_people_share_a_connection(upstream: Upstream) -> None:
    for owner in (KIM, LEE, OTHER_KIM, EVERYBODY, KIM, LEE, OTHER_KIM, EVERYBODY):
        assert fetch(upstream, owner) == b"hello"
    assert upstream.connections == 4


def test_without_keep_alive_each_request_has_a_connection(upstream: Upstream) -> None:
    for owner in (KIM, None, None, KIM):
        assert fetch(upstream, owner) == b"hello"
    assert upstream.connections == 3


@pytest.mark.parametrize("owner", [LEE, EVERYBODY, None])
def test_a_response_that_nobody_asked_for_reaches_no_other_person(
    upstream: Upstream, owner: Hashable
) -> None:
    late = threading.Event()
    upstream.answers = [then(HELLO, PLANTED, late), HELLO]
    assert fetch(upstream, KIM) == b"hello"
    late.set()
    assert fetch(upstream, owner) == b"hello"


def at_once(upstream: Upstream, owners: Sequence[Hashable]) -> None:
    """A request of each, responded to only when all of them are there."""
    all_there = threading.Barrier(len(owners))

    def act(talk: Talk) -> bool:
        all_there.wait(10)
        talk.say(HELLO)
        return True

    upstream.answers = [act]
    threads = [threading.Thread(target=fetch, args=(upstream, o)) for o in owners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    upstream.answers = [HELLO]


def test_few_connections_are_kept_for_one_person(upstream: Upstream) -> None:
    at_once(upstream, [KIM] * 6 + [LEE])
    kept = pool.PERSON_CONNECTIONS + 1
    assert wait_until(lambda: len(upstream.open) == kept)


def test_the_oldest_connection_makes_room_for_a_new_one(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "IDLE_CONNECTIONS", 3)
    monkeypatch.setattr(pool, "IDLE_SECONDS", 60)
    people = [("https://id.example", f"person-{number}") for number in range(6)]
    for person in people:
        fetch(upstream, person)
    assert wait_until(lambda: len(upstream.open) == 3)
    for person in people[3:]:
        fetch(upstream, person)
    assert upstream.connections == 6
    monkeypatch.undo()
    assert wait_until(lambda: not upstream.open)


STRAYS = {
    "a second response": HELLO + PLANTED,
    "more than the length": HELLO + b"x",
    "an empty line": HELLO + b"\r\n",
    "more than the chunks": CHUNKED + chunked(b"hello") + b"x",
}


def stray_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    lines = [record.getMessage() for record in caplog.records]
    return [line for line in lines if line.startswith("upstream_stray_bytes")]


@pytest.mark.parametrize("name", STRAYS)
@pytest.mark.parametrize("owner", OWNERS)
def test_stray_bytes_close_the_connection_and_are_logged_with_the_route(
    upstream: Upstream, caplog: pytest.LogCaptureFixture, name: str, owner: Hashable
) -> None:
    upstream.answers = [STRAYS[name], HELLO]
    assert fetch(upstream, owner) == b"hello"
    assert fetch(upstream, owner) == b"hello"
    assert upstream.connections == 2
    # On a busy machine it may be the sweep that finds them, in a thread of its own.
    assert wait_until(lambda: stray_lines(caplog) != [])
    assert stray_lines(caplog) == ["upstream_stray_bytes route=members"]


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[Upstream]:
    write_certificate(tmp_path / "upstream.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "upstream.pem")
    with Upstream(tls=context) as server:
        yield server


@pytest.mark.parametrize("is_tls", [False, True])
def test_a_stray_byte_on_an_idle_connection_is_logged_although_nobody_asks_any_more(
    upstream: Upstream,
    secure: Upstream,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    is_tls: bool,
) -> None:
    late = threading.Event()
    server = secure if is_tls else upstream
    server.answers = [then(HELLO, b"x", late), HELLO]
    assert read(get(server, ca=str(tmp_path / "upstream.pem"), owner=KIM)) == b"hello"
    late.set()
    assert wait_until(lambda: not server.open)
    assert stray_lines(caplog) == ["upstream_stray_bytes route=members"]


@pytest.mark.parametrize("is_tls", [False, True])
def test_the_end_of_an_idle_connection_is_no_stray_byte(
    upstream: Upstream,
    secure: Upstream,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    is_tls: bool,
) -> None:
    server = secure if is_tls else upstream
    server.answers = [lambda talk: talk.say(HELLO), HELLO]
    for _ in range(2):
        found = get(server, ca=str(tmp_path / "upstream.pem"), owner=KIM)
        assert read(found) == b"hello"
        assert wait_until(lambda: not server.open)
    assert stray_lines(caplog) == []


def test_an_upstream_that_was_caught_is_not_trusted_with_a_kept_connection(
    upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    """Its next late byte would reach another request of the same person."""
    fetch(upstream, LEE)
    upstream.answers = [HELLO + PLANTED, HELLO]
    for _ in range(4):
        assert fetch(upstream, KIM) == b"hello"
    fetch(upstream, LEE)
    assert upstream.connections == 6
    upstream.answers = [HELLO + b"x", HELLO]
    fetch(upstream, KIM)
    assert len(stray_lines(caplog)) == 1


def test_an_upstream_that_was_caught_is_trusted_again_later(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "SUSPECT_SECONDS", 0)
    upstream.answers = [HELLO + PLANTED, HELLO]
    for _ in range(3):
        assert fetch(upstream, KIM) == b"hello"
    assert upstream.connections == 2


def test_half_a_response_is_no_stray_byte(
    upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody who leaves in the middle says nothing about the upstream."""
    upstream.answers = [answer(body=b"a" * 100_000), HELLO]
    found = get(upstream, owner=KIM)
    found.read()
    found.close()
    upstream.answers = [b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd"]
    assert fetch(upstream, KIM) == b"abcd"
    assert stray_lines(caplog) == []


def test_a_response_that_is_none_is_an_error_and_ends_the_connection(
    upstream: Upstream,
) -> None:
    upstream.answers = [HELLO, b"body of before\r\n\r\n", HELLO]
    assert fetch(upstream, KIM) == b"hello"
    with pytest.raises(BadAnswer):
        fetch(upstream, KIM)
    assert fetch(upstream, KIM) == b"hello"
    assert upstream.connections == 2
