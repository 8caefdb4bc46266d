"""What ends a session ends it at each door, at once, and with it what is still open."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

import pytest
import redis

from accounts import keys
from accounts.management.exit_codes import ExitCode
from tests.doors.conftest import fresh_key
from tests.doors.house import (
    Door,
    House,
    read_until,
    seconds_until_closed,
    websocket,
)
from tests.journeys.site import FINANCE
from tests.waiting import wait_until

TARGET = "/api/proxy/echo/"
# Some seconds are promised. What does not end with its session ends after thirty at the
# earliest, and on a busy machine a test must not fail for the machine.
AT_MOST_SECONDS = 25
STAYS_SECONDS = 5


def end_everyone(door: Door) -> None:
    code = "from accounts.sessions import live; live.end_everyone(by='a test')"
    door.house.site.manage("shell", "-c", code)


def end_person(door: Door, user: str) -> None:
    door.house.site.manage("purge_sessions", "--user", user, "--yes")


def name_of(door: Door, key: str) -> str:
    door.ask(TARGET, key=key)
    return str(door.house.upstream.last.get("X-Staff-User"))


def test_a_killed_session_is_refused_by_the_next_call(door: Door, key: str) -> None:
    user = name_of(door, key)
    end_person(door, user)
    assert door.ask(TARGET, key=key).status == 401


def test_a_cut_off_ends_everyone(door: Door) -> None:
    keys = [fresh_key(door.house), fresh_key(door.house, FINANCE)]
    assert [door.ask("/api/proxy/kept/", key=key).status for key in keys] == [200, 200]
    end_everyone(door)
    assert [door.ask("/api/proxy/kept/", key=key).status for key in keys] == [401, 401]


def test_the_next_sign_in_passes_after_a_cut_off(door: Door) -> None:
    end_everyone(door)
    assert door.ask(TARGET, key=fresh_key(door.house)).status == 200


@pytest.mark.parametrize("target", ["stream", "stream/silent"])
def test_a_kill_ends_what_is_being_streamed(door: Door, key: str, target: str) -> None:
    user = name_of(door, key)
    with door.open(f"/api/proxy/echo/{target}", key) as sock:
        assert b"first" in read_until(sock, b"first")
        end_person(door, user)
        taken = seconds_until_closed(sock)
    assert taken is not None
    assert taken < AT_MOST_SECONDS


def test_a_stream_of_a_live_session_goes_on(door: Door, key: str) -> None:
    with door.open("/api/proxy/echo/stream", key) as sock:
        assert b"first" in read_until(sock, b"first")
        assert seconds_until_closed(sock, at_most=STAYS_SECONDS) is None


def test_a_call_that_failed_is_followed_no_longer(house: House, key: str) -> None:
    """The socket that it came over may be somebody else's when its session ends."""
    door, streams = house.door("script"), 4
    user, before = name_of(door, key), cuts(door)
    with ExitStack() as closing:
        open_ones = [
            closing.enter_context(door.open("/api/proxy/echo/stream", key))
            for _ in range(streams)
        ]
        assert all(b"first" in read_until(sock, b"first") for sock in open_ones)
        for _ in range(8):
            assert door.ask("/api/proxy/gone/", key=key).status == 502
        end_person(door, user)
        for sock in open_ones:
            assert seconds_until_closed(sock) is not None
    assert cuts(door) == before + streams


def cuts(door: Door) -> int:
    """How many calls this nginx has ended so far."""
    log = door.house.site.folder.parent / door.name / "error.log"
    return log.read_text(encoding="utf-8").count("stream_ended")


# WebSockets -----------------------------------------------------------------


@pytest.fixture
def tunnel(door: Door) -> Door:
    """A door that carries WebSockets."""
    if door.name == "embedded":
        pytest.skip("door 1 answers 501, see below")
    return door


def test_door_1_says_that_it_carries_no_websockets(door: Door, key: str) -> None:
    if door.name != "embedded":
        pytest.skip("the others do")
    answer = door.ask("/api/proxy/echo/ws", *websocket(door), key=key)
    assert (answer.status, answer.word) == (501, "no-upgrade")


def test_a_websocket_passes_both_ways(tunnel: Door, key: str) -> None:
    with tunnel.open("/api/proxy/echo/ws", key, *websocket(tunnel)) as sock:
        head = read_until(sock, b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        assert b"sec-websocket-accept: x" in head.lower()
        for message in (b"hello", b"\x00\xff" * 50_000 + b"end"):
            sock.sendall(message)
            assert read_until(sock, message[-3:]).endswith(message[-3:])
    last = tunnel.house.upstream.last
    assert last.get("Sec-WebSocket-Key")
    assert last.get("X-Staff-Sub") == "demo-1003"
    assert last.all("Cookie") == []


@pytest.mark.parametrize("origin", ["https://evil.example", "null", None])
def test_a_websocket_of_another_page_is_refused(
    tunnel: Door, key: str, origin: str | None
) -> None:
    seen = tunnel.seen
    fields = [one for one in websocket(tunnel) if not one.startswith("Origin")]
    if origin:
        fields.append(f"Origin: {origin}")
    answer = tunnel.ask("/api/proxy/echo/ws", *fields, key=key)
    assert (answer.status, answer.word) == (403, "no-proof")
    assert tunnel.seen == seen


def test_a_websocket_without_a_session_is_401(tunnel: Door) -> None:
    answer = tunnel.ask("/api/proxy/echo/ws", *websocket(tunnel))
    assert (answer.status, answer.word) == (401, "no-session")


def test_a_kill_ends_a_websocket(tunnel: Door, key: str) -> None:
    user = name_of(tunnel, key)
    with tunnel.open("/api/proxy/echo/ws", key, *websocket(tunnel)) as sock:
        read_until(sock, b"\r\n\r\n")
        end_person(tunnel, user)
        taken = seconds_until_closed(sock)
    assert taken is not None
    assert taken < AT_MOST_SECONDS


def test_a_websocket_of_a_live_session_stays_open(tunnel: Door, key: str) -> None:
    with tunnel.open("/api/proxy/echo/ws", key, *websocket(tunnel)) as sock:
        read_until(sock, b"\r\n\r\n")
        assert seconds_until_closed(sock, at_most=STAYS_SECONDS) is None
        sock.sendall(b"still here")
        assert read_until(sock, b"here") == b"still here"


def test_kill_from_a_host_that_lost_the_store_takes_effect_by_itself(
    door: Door, key: str
) -> None:
    site = door.house.site
    user = name_of(door, key)
    identifier = str(door.house.upstream.last.get("X-Session-Id"))
    elsewhere = {**site.environment, "REDIS_URL": "redis://127.0.0.1:1/0"}
    arguments = ("purge_sessions", "--user", user, "--yes")
    done = replace(site, environment=elsewhere).manage(*arguments, check=False)
    assert done.returncode == ExitCode.STORE_UNREACHABLE, done.stderr
    # Nobody uses the session meanwhile: it is no request that delivers the kill.
    with redis.Redis.from_url(site.store.url) as store:
        assert wait_until(lambda: not store.exists(keys.value(identifier)))
    assert door.ask(TARGET, key=key).status == 401
