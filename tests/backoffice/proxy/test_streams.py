from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
from django.test import RequestFactory
from pytest_django.fixtures import Settings

from accounts.sessions.errors import StoreUnavailable
from backoffice.proxy import streams as module
from backoffice.proxy.connection import Call
from backoffice.proxy.errors import Refusal, Refused, UpstreamCutShort
from backoffice.proxy.forward import forward
from backoffice.proxy.routes import Route
from backoffice.proxy.streams import (
    GRACE_SECONDS,
    LOG_SECONDS,
    LONG_SECONDS,
    OUTAGE_SECONDS,
    OpenCall,
    Streams,
    streams,
)
from tests.fakes.upstream import Talk, Upstream, hanging

DEADLINE = 1100.0
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


class Session:
    """Whether it lives, and how often that was asked."""

    def __init__(self) -> None:
        self.answer: bool | Exception = True
        self.asked = 0

    def is_live(self) -> bool:
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def session() -> Session:
    return Session()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def opened(
    session: Session,
    upstream: socket.socket | None = None,
    client: socket.socket | None = None,
) -> tuple[Streams, OpenCall]:
    watched = Streams()
    watched._start = lambda: None  # type: ignore[method-assign]
    call = Call("/", 1, 1, DEADLINE, upstream)
    one = OpenCall(call, session.is_live, "sid-1", client)
    watched.enter(one)
    return watched, one


def is_shut(sock: socket.socket) -> bool:
    sock.setblocking(False)
    try:
        return sock.recv(1) == b""
    except BlockingIOError:
        return False


def test_a_young_call_is_not_asked_about(session: Session, clock: list[float]) -> None:
    watched, _ = opened(session)
    clock[0] += GRACE_SECONDS / 2
    watched.look()
    assert session.asked == 0


def test_a_live_session_keeps_its_calls(
    session: Session, clock: list[float], pair: tuple[socket.socket, socket.socket]
) -> None:
    watched, one = opened(session, pair[0])
    for _ in range(3):
        clock[0] += GRACE_SECONDS
        watched.look()
    assert (session.asked, one.is_cut, is_shut(pair[1])) == (3, False, False)


def test_a_dead_session_loses_the_upstream_first_and_then_the_client(
    session: Session, clock: list[float], pair: tuple[socket.socket, socket.socket]
) -> None:
    client, browser = socket.socketpair()
    with client, browser:
        watched, one = opened(session, pair[0], client)
        session.answer = False
        clock[0] += GRACE_SECONDS
        watched.look()
        assert (one.is_cut, is_shut(pair[1]), is_shut(browser)) == (True, True, False)
        watched.look()
        assert is_shut(browser)


def test_a_call_that_has_left_is_not_touched(
    session: Session, clock: list[float], pair: tuple[socket.socket, socket.socket]
) -> None:
    watched, one = opened(session, pair[0])
    session.answer = False

    def leaves() -> bool:
        watched.leave(one)
        return False

    one.is_live = leaves
    clock[0] += GRACE_SECONDS
    watched.look()
    assert not is_shut(pair[1])
    assert len(watched) == 0


def test_an_outage_is_borne_for_a_while_and_not_for_ever(
    session: Session, clock: list[float], pair: tuple[socket.socket, socket.socket]
) -> None:
    watched, one = opened(session, pair[0])
    session.answer = StoreUnavailable("unreachable")
    clock[0] += OUTAGE_SECONDS - 0.1
    watched.look()
    assert not one.is_cut
    clock[0] += 0.2
    watched.look()
    assert one.is_cut
    assert is_shut(pair[1])


def test_a_store_that_comes_back_in_time_is_believed(
    session: Session, clock: list[float]
) -> None:
    watched, one = opened(session)
    session.answer = StoreUnavailable("unreachable")
    clock[0] += OUTAGE_SECONDS - 0.1
    watched.look()
    session.answer = True
    watched.look()
    clock[0] += OUTAGE_SECONDS - 0.1
    session.answer = StoreUnavailable("unreachable")
    watched.look()
    assert not one.is_cut


def test_whoever_waits_for_the_client_waits_until_the_deadline(
    session: Session, clock: list[float], pair: tuple[socket.socket, socket.socket]
) -> None:
    watched, one = opened(session, client=pair[0])
    for moment, is_over in ((DEADLINE, False), (DEADLINE + GRACE_SECONDS + 0.1, True)):
        clock[0] = moment
        watched.look()
        assert is_shut(pair[1]) == is_over
    assert not one.is_cut


# Too many of them ------------------------------------------------------------


@pytest.fixture
def limits(settings: Settings) -> None:
    settings.LONG_REQUESTS_PER_SESSION = 2
    settings.LONG_REQUESTS_PER_PROCESS = 3


def entered(watched: Streams, session: Session, session_id: str = "sid-1") -> OpenCall:
    one = OpenCall(Call("/", 1, 1, DEADLINE), session.is_live, session_id)
    watched.enter(one)
    return one


@pytest.mark.usefixtures("limits")
def test_a_stream_beyond_the_limit_of_its_session_is_refused(session: Session) -> None:
    watched, first = opened(session)
    second, third = entered(watched, session), entered(watched, session)
    assert [watched.admit_stream(one) for one in (first, second)] == [True, True]
    assert not watched.admit_stream(third)
    assert watched.admit_stream(entered(watched, session, "sid-2"))
    watched.leave(first)
    assert watched.admit_stream(third)


@pytest.mark.usefixtures("limits")
def test_a_stream_beyond_the_limit_of_the_process_is_refused(session: Session) -> None:
    watched, first = opened(session)
    assert watched.admit_stream(first)
    for name in ("sid-2", "sid-3"):
        assert watched.admit_stream(entered(watched, session, name))
    assert not watched.admit_stream(entered(watched, session, "sid-4"))


@pytest.mark.usefixtures("limits")
def test_a_stream_counts_once(session: Session) -> None:
    """It is admitted by what it asks for, and again by what it receives."""
    watched, first = opened(session)
    assert all(watched.admit_stream(first) for _ in range(9))


@pytest.mark.usefixtures("limits")
def test_quick_calls_are_not_counted(session: Session, clock: list[float]) -> None:
    watched, first = opened(session)
    others = [entered(watched, session) for _ in range(50)]
    clock[0] += LONG_SECONDS - 0.1
    watched.look()
    assert not any(one.is_cut for one in (first, *others))
    assert watched.admit_stream(first)


@pytest.mark.usefixtures("limits")
def test_the_newest_of_too_many_waiting_calls_are_refused(
    session: Session, clock: list[float]
) -> None:
    watched, first = opened(session)
    clock[0] += 0.1
    others = [entered(watched, session) for _ in range(4)]
    clock[0] += LONG_SECONDS
    watched.look()
    refused = [one for one in (first, *others) if one.is_too_many]
    assert len(refused) == 3
    assert first not in refused
    assert all(one.is_cut for one in refused)


@pytest.mark.usefixtures("limits")
def test_a_response_that_has_begun_is_not_broken_off(
    session: Session, clock: list[float]
) -> None:
    watched, first = opened(session)
    begun = [first, *(entered(watched, session) for _ in range(4))]
    for one in begun:
        one.has_begun = True
    waiting = entered(watched, session, "sid-2")
    clock[0] += LONG_SECONDS
    watched.look()
    assert not any(one.is_cut for one in begun)
    # They count all the same: the process holds more than it may.
    assert waiting.is_too_many


@pytest.mark.usefixtures("limits")
def test_streams_and_waiting_calls_of_a_session_are_counted_apart(
    session: Session, clock: list[float], settings: Settings
) -> None:
    settings.LONG_REQUESTS_PER_PROCESS = 9
    watched, first = opened(session)
    assert watched.admit_stream(first)
    assert watched.admit_stream(entered(watched, session))
    waiting = [entered(watched, session) for _ in range(2)]
    clock[0] += LONG_SECONDS
    watched.look()
    assert not any(one.is_cut for one in waiting)


@pytest.mark.usefixtures("limits")
def test_many_refusals_are_one_line(
    session: Session, clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    watched, first = opened(session)
    for one in (first, entered(watched, session)):
        assert watched.admit_stream(one)
    for _ in range(50):
        assert not watched.admit_stream(entered(watched, session))
    clock[0] += LOG_SECONDS
    assert not watched.admit_stream(entered(watched, session))
    said = [one.getMessage() for one in caplog.records]
    assert said == [
        f"requests_refused word=busy limit=session refused={count} session=sid-1"
        for count in (1, 50)
    ]


# With the real thread ------------------------------------------------------


def ask(route: Route, session: Session) -> object:
    request = RequestFactory().get("/unused")
    return forward(request, route, "/x", {}, "sid-1", session.is_live, ("i", "s"))


def test_a_silent_stream_is_cut(
    route: Route, upstream: Upstream, session: Session
) -> None:
    def silent(talk: Talk) -> None:
        talk.say(EVENTS)
        if talk.is_gone(10):
            gone.set()

    gone = threading.Event()
    upstream.answers = [silent]
    response = ask(route, session)
    pieces = iter(response)  # type: ignore[call-overload]
    assert next(pieces) == b""
    session.answer = False
    with pytest.raises(UpstreamCutShort):
        next(pieces)
    assert len(streams) == 0
    assert gone.wait(60)


def test_a_call_that_was_not_answered_yet_becomes_a_refusal(
    route: Route, upstream: Upstream, session: Session
) -> None:
    upstream.answers = [hanging(b"")]
    session.answer = False
    with pytest.raises(Refused) as caught:
        ask(route, session)
    assert caught.value.refusal is Refusal.NO_SESSION
    assert len(streams) == 0


@pytest.mark.parametrize("size", [5, 200_000])
def test_a_call_that_is_over_is_not_watched(
    route: Route, upstream: Upstream, session: Session, size: int
) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode()
    upstream.answers = [head + b"a" * size]
    response = ask(route, session)
    assert len(b"".join(response)) == size  # type: ignore[call-overload]
    assert len(streams) == 0


def test_an_abandoned_call_is_not_watched(
    route: Route, upstream: Upstream, session: Session
) -> None:
    upstream.answers = [hanging(EVENTS)]
    response = ask(route, session)
    assert len(streams) == 1
    response.close()  # type: ignore[attr-defined]
    assert len(streams) == 0


def test_a_failed_call_is_not_watched(session: Session) -> None:
    with pytest.raises(Refused):
        ask(Route("a", "http://127.0.0.1:1"), session)
    assert len(streams) == 0


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_one_stream_too_many_is_503(
    route: Route, upstream: Upstream, session: Session, settings: Settings, method: str
) -> None:
    """Who had it sent a write is not told when to send it again."""
    settings.LONG_REQUESTS_PER_SESSION = 1
    upstream.answers = [hanging(EVENTS)]
    first = ask(route, session)
    request = RequestFactory().generic(method, "/unused")
    with pytest.raises(Refused) as caught:
        forward(request, route, "/x", {}, "sid-1", session.is_live, ("i", "s"))
    assert caught.value.refusal is Refusal.BUSY
    assert ("Retry-After" in caught.value.headers) == (method == "GET")
    assert len(streams) == 1
    first.close()  # type: ignore[attr-defined]


def test_an_event_source_is_refused_before_anything_is_sent(
    route: Route, upstream: Upstream, session: Session, settings: Settings
) -> None:
    settings.LONG_REQUESTS_PER_SESSION = 1
    upstream.answers = [hanging(EVENTS)]
    first = ask(route, session)
    request = RequestFactory().get("/unused", HTTP_ACCEPT="text/event-stream")
    with pytest.raises(Refused) as caught:
        forward(request, route, "/x", {}, "sid-1", session.is_live, ("i", "s"))
    assert caught.value.refusal is Refusal.BUSY
    assert len(upstream.requests) == 1
    assert len(streams) == 1
    first.close()  # type: ignore[attr-defined]


def test_one_thread_watches_them_all(
    route: Route, upstream: Upstream, session: Session
) -> None:
    for _ in range(3):
        b"".join(ask(route, session))  # type: ignore[call-overload]
    watchers = [one for one in threading.enumerate() if one.name == "streams"]
    assert len(watchers) == 1
