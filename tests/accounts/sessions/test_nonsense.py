"""P3 when the store answers, but not what was asked: that is an outage as well.

An answer of the wrong form says nothing about a session, and neither does one that was
meant for another question on the same connection. Nobody is signed out by it, nobody
is let in, and nobody gets another person's session.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

import pytest
import redis
from django.test import Client
from pytest_django.fixtures import Settings

from accounts import keys
from accounts.models import User
from accounts.sessions import live
from accounts.sessions.errors import SessionStoreError
from backoffice.proxy.errors import Refusal
from tests.accounts.sessions.conftest import ISSUER, again, begin, is_live, sign_in
from tests.accounts.sessions.test_outages import (
    BOUND_SECONDS,
    GATED,
    PAGE,
    causes,
    gate_word,
    is_outage,
    share_one_connection,
    verdict,
)
from tests.fakes.store import Proxy, shifted
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db

NONSENSE: dict[str, bytes] = {
    "integer": b":1\r\n",
    "word": b"+OK\r\n",
    "text": b"$2\r\nOK\r\n",
    "text-of-three": b"$3\r\nabc\r\n",
    "nothing": b"$-1\r\n",
    "no-array": b"*-1\r\n",
    "empty": b"*0\r\n",
    "too-short": b"*2\r\n$-1\r\n:-2\r\n",
    "too-long": b"*4\r\n$-1\r\n:-2\r\n$-1\r\n:1\r\n",
    "nested": b"*3\r\n*1\r\n:1\r\n*1\r\n:1\r\n*1\r\n:1\r\n",
    "integers": b"*3\r\n:1\r\n:2\r\n:3\r\n",
    "words-for-number": b"*3\r\n$-1\r\n+x\r\n+x\r\n",
    "error-inside": b"*3\r\n-ERR inside\r\n:-2\r\n$-1\r\n",
    "error-not-utf8": b"-ERR \xff\xfe\r\n",
    "moved-without-address": b"-MOVED\r\n",
    "deep": b"*1\r\n" * 64 + b":1\r\n",
}
each_nonsense = pytest.mark.parametrize(
    "answer", NONSENSE.values(), ids=NONSENSE.keys()
)
# What a load asks in one go: value, expiry, cut-off, and its ticket.
LOAD = (b"GET", b"PEXPIRETIME", b"ECHO")
# By itself a well-formed answer about a session: there is none.
NOBODY = b"$-1\r\n"


@pytest.fixture
def one_connection(proxy: Proxy, settings: Settings) -> Proxy:
    """The same, and all threads of the process share one connection."""
    share_one_connection(settings)
    return proxy


# An answer of the wrong form, met by a page, the gate and the engine -----------------


@each_nonsense
def test_page_with_nonsense_is_503_and_keeps_the_cookie(
    proxy: Proxy, client: Client, user: User, answer: bytes
) -> None:
    sign_in(client, user)
    proxy.breaks(answer, *LOAD)
    assert is_outage(client.get(PAGE))
    proxy.heals()
    assert client.get(PAGE).status_code == 200


@each_nonsense
@pytest.mark.parametrize("place", [LOAD, (b"ECHO",)], ids=["all", "ticket"])
def test_gate_with_nonsense_says_the_store_is_down(
    proxy: Proxy, client: Client, user: User, answer: bytes, place: tuple[bytes, ...]
) -> None:
    sign_in(client, user)
    proxy.breaks(answer, *place)
    assert gate_word(client.get(GATED)) == (503, Refusal.STORE_DOWN.word)


def test_expiry_that_is_no_number_says_the_store_is_down(
    proxy: Proxy, client: Client, user: User
) -> None:
    sign_in(client, user)
    proxy.breaks(NONSENSE["words-for-number"], b"PEXPIRETIME")
    assert gate_word(client.get(GATED)) == (503, Refusal.STORE_DOWN.word)


def test_answer_without_its_ticket_is_not_believed_to_say_nobody(
    proxy: Proxy, client: Client, user: User
) -> None:
    sign_in(client, user)
    proxy.breaks(NOBODY, *LOAD)
    assert is_outage(client.get(PAGE))


def test_gate_with_nonsense_is_one_log_line_with_a_cause(
    proxy: Proxy, client: Client, user: User, caplog: pytest.LogCaptureFixture
) -> None:
    sign_in(client, user)
    proxy.breaks(NONSENSE["integers"], b"GET")
    client.get(GATED)
    [line] = causes(caplog)
    assert "cause=nonsense " in line


@pytest.mark.parametrize(
    "question", ["save", "delete", "begin", "count", "page", "of_person"]
)
@pytest.mark.parametrize("name", ["word", "integers", "deep", "error-inside"])
def test_engine_with_nonsense_raises_and_ends_nothing(
    proxy: Proxy, name: str, question: str
) -> None:
    session = begin()
    session["x"] = 1
    asked: dict[str, Callable[[], object]] = {
        "save": session.save,
        "delete": session.delete,
        "begin": begin,
        "count": live.count,
        "page": live.page,
        "of_person": lambda: live.of_person(ISSUER, "u-1001"),
    }
    proxy.breaks(NONSENSE[name])
    with pytest.raises(SessionStoreError):
        asked[question]()
    proxy.heals()
    assert is_live(session)


@pytest.mark.parametrize("answer", [b"$2\r\nOK\r\n", b"+OK\r\n"])
def test_save_answered_with_nonsense_is_no_sign_out(
    proxy: Proxy, client: Client, admin: User, answer: bytes
) -> None:
    """Neither "saved" nor "ended meanwhile", which would delete the cookie."""
    sign_in(client, admin)
    assert client.get(PAGE).status_code == 200
    proxy.breaks(answer, b"EVAL")
    # Nothing chosen leaves a message, which is kept in the session.
    assert is_outage(client.post("/admin/accounts/livesession/end/"))
    proxy.heals()
    assert client.get(PAGE).status_code == 200


def test_purge_of_a_store_that_repeats_itself_ends(proxy: Proxy) -> None:
    """A store that names the same dead entry again and again is not pruned for ever."""
    begin()
    proxy.breaks(b"*1\r\n$1\r\nx\r\n", b"ZRANGE")

    def purge() -> None:
        with suppress(SessionStoreError):
            live.purge()

    thread = threading.Thread(target=purge)
    thread.start()
    thread.join(BOUND_SECONDS)
    is_over = not thread.is_alive()
    proxy.heals()
    thread.join(BOUND_SECONDS)
    assert is_over


@each_nonsense
def test_kill_answered_with_nonsense_is_pending_and_then_takes_effect(
    proxy: Proxy, answer: bytes
) -> None:
    victim = begin()
    proxy.breaks(answer)
    outcome = live.end([str(victim.session_id)], by="admin")
    assert (outcome.pending, outcome.durable, outcome.ended) == (True, True, [])
    proxy.heals()
    assert verdict(victim) == "dead"


@pytest.mark.parametrize("answer", [b":1\r\n", b"$3\r\nabc\r\n"])
def test_probe_does_not_take_nonsense_for_an_answer(
    proxy: Proxy, answer: bytes
) -> None:
    proxy.breaks(answer, b"PING")
    assert not live.is_believed()
    proxy.heals()
    assert live.is_believed()


# A greeting of the wrong form --------------------------------------------------------


@each_nonsense
def test_store_that_greets_with_nonsense_is_not_believed(
    proxy: Proxy, answer: bytes
) -> None:
    session = begin()
    proxy.breaks(answer, b"INFO")
    proxy.cut()
    assert [verdict(session) for _ in range(3)] == ["outage"] * 3
    proxy.heals()
    assert is_live(session)


def test_connection_that_failed_its_greeting_is_never_used(proxy: Proxy) -> None:
    """Each use greets anew, until the store says who it is."""
    session = begin()
    proxy.breaks(b"*1\r\n*0\r\n", b"INFO")
    proxy.cut()
    verdict(session)  # the cut may show only now
    greeted = proxy.heard.count(b"INFO")
    assert [verdict(session) for _ in range(2)] == ["outage"] * 2
    assert proxy.heard.count(b"INFO") == greeted + 2


# Answers that belong to another question ---------------------------------------------


def test_shifted_answers_never_show_another_persons_session(
    one_connection: Proxy,
) -> None:
    people = [begin("u-1"), begin("u-2")]
    assert all(is_live(person) for person in people)
    one_connection.breaks(shifted, *LOAD)
    for turn in range(8):
        mine = again(people[turn % 2])
        try:
            seen = mine.load().get("profile", {}).get("sub")
        except SessionStoreError:
            continue
        assert seen in (None, f"u-{turn % 2 + 1}")


def test_shifted_answer_is_an_outage_not_a_sign_out(one_connection: Proxy) -> None:
    mine, theirs = begin("u-1"), begin("u-2")
    assert is_live(mine)
    one_connection.breaks(shifted, *LOAD)
    assert [verdict(theirs), verdict(mine), verdict(theirs)] == ["outage"] * 3


def test_shifted_answer_about_the_same_session_does_not_outlive_a_kill(
    one_connection: Proxy,
) -> None:
    victim = begin()
    assert is_live(victim)
    one_connection.breaks(shifted, *LOAD)
    assert verdict(victim) == "outage"
    with redis.Redis.from_url(one_connection.real_url) as other:
        other.delete(keys.value(str(victim.session_id)))
    assert verdict(victim) == "outage"
    one_connection.heals()
    assert verdict(victim) == "dead"


def test_connection_with_a_shifted_answer_is_not_used_again(
    one_connection: Proxy,
) -> None:
    session = begin()
    assert is_live(session)
    one_connection.breaks(shifted, *LOAD)
    before = one_connection.connections
    assert [verdict(session) for _ in range(2)] == ["outage"] * 2
    one_connection.heals()
    assert is_live(session)
    # Besides them come those over which the store's identity is confirmed.
    assert one_connection.connections >= before + 2


def test_thread_killed_while_it_reads_leaves_no_answer_for_the_next(
    one_connection: Proxy,
) -> None:
    mine, theirs = begin("u-1"), begin("u-2")
    one_connection.delay = 0.2
    one_connection.heard.clear()
    thread = threading.Thread(target=lambda: verdict(mine))
    thread.start()
    assert wait_until(lambda: b"ECHO" in one_connection.heard)
    stop(thread)
    thread.join(60)
    assert again(theirs).load()["profile"]["sub"] == "u-2"
    assert again(mine).load()["profile"]["sub"] == "u-1"


def test_thread_killed_before_it_reads_signs_nobody_out(one_connection: Proxy) -> None:
    mine, theirs = begin("u-1"), begin("u-2")
    assert is_live(mine)
    one_connection.delay = 0.1
    run_until_asked(lambda: verdict(mine))
    words = [verdict(session) for session in (theirs, mine, theirs, mine)]
    assert "dead" not in words
    assert words[-1] == "live"


class Stopped(BaseException):
    """What a server throws into a thread that took too long."""


@pytest.fixture(autouse=True)
def _stopped_threads_are_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    def hook(args: threading.ExceptHookArgs, /) -> None:
        if not isinstance(args.exc_value, Stopped):
            threading.__excepthook__(args)

    monkeypatch.setattr(threading, "excepthook", hook)


def stop(thread: threading.Thread) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread.ident or 0), ctypes.py_object(Stopped)
    )


def run_until_asked(work: Callable[[], object]) -> None:
    """Runs it in a thread that ends when its question is out and nothing is read."""
    ended_by: list[str] = []

    def watch(frame: FrameType, event: str, _: object) -> None:
        is_sent = event == "return" and frame.f_code.co_name == "send_packed_command"
        if is_sent and b"PEXPIRETIME" in frame.f_locals["command"][0]:
            sys.setprofile(None)
            ended_by.append(event)
            stop(threading.current_thread())

    def run() -> None:
        sys.setprofile(watch)
        work()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(60)
    assert ended_by
