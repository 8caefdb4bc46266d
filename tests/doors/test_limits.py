"""Whoever can write to the store gets no login and no longer life, at any door; and the
doors agree on what nobody thought of."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis

from tests.doors.conftest import fresh_key
from tests.doors.house import DOORS, Door, House
from tests.journeys.site import FINANCE
from tests.waiting import wait_until

TARGET = "/api/proxy/echo/"
HOUR_MS = 3600 * 1000


@pytest.fixture
def store(house: House) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(house.site.store.url)
    yield client
    client.close()


@contextmanager
def value_of(door: Door, key: str, store: redis.Redis) -> Iterator[str]:
    """The name of the session's value; the door has opened it before."""
    assert door.ask(TARGET, key=key).status == 200
    identifier = str(door.house.upstream.last.get("X-Session-Id"))
    yield f"bo:{{{identifier[0]}}}:s:{identifier}"


def status(door: Door, key: str) -> int:
    return door.ask(TARGET, key=key).status


def test_a_changed_byte_is_refused_at_once(
    door: Door, key: str, store: redis.Redis
) -> None:
    with value_of(door, key, store) as name:
        for place in (0, 3, 10, 100, -1):
            sealed = bytearray(store.get(name))
            sealed[place] ^= 1
            store.set(name, bytes(sealed), keepttl=True)
            assert status(door, key) == 401, place
            sealed[place] ^= 1
            store.set(name, bytes(sealed), keepttl=True)
            assert status(door, key) == 200


def test_another_session_s_value_is_refused(
    door: Door, key: str, store: redis.Redis
) -> None:
    other = fresh_key(door.house, FINANCE)
    with value_of(door, key, store) as mine, value_of(door, other, store) as theirs:
        store.set(mine, store.get(theirs), keepttl=True)
        assert status(door, key) == 401
        assert status(door, other) == 200


@pytest.mark.parametrize("planted", [b"", b"x", b"\x80\x04.", b"{}", b"\x01" * 20_000])
def test_nonsense_in_a_value_is_refused(
    door: Door, key: str, store: redis.Redis, planted: bytes
) -> None:
    with value_of(door, key, store) as name:
        store.set(name, planted, keepttl=True)
        assert status(door, key) == 401


def test_a_longer_life_is_no_life(door: Door, key: str, store: redis.Redis) -> None:
    with value_of(door, key, store) as name:
        store.pexpireat(name, int(time.time() * 1000) + HOUR_MS)
        assert status(door, key) == 401
        store.persist(name)
        assert status(door, key) == 401


def test_an_idle_session_ends(door: Door, key: str, store: redis.Redis) -> None:
    with value_of(door, key, store) as name:
        store.pexpire(name, 1)
        assert wait_until(lambda: not store.exists(name))
        assert status(door, key) == 401


def test_a_use_is_noted_within_the_minute(
    door: Door, key: str, store: redis.Redis
) -> None:
    with value_of(door, key, store) as name:
        used_long_ago = store.pexpiretime(name) - 10 * 60 * 1000
        store.pexpireat(name, used_long_ago)
        assert status(door, key) == 200
        assert wait_until(lambda: store.pexpiretime(name) > used_long_ago)


def test_an_answer_that_is_no_answer_is_an_outage(
    door: Door, key: str, store: redis.Redis
) -> None:
    with value_of(door, key, store) as name:
        sealed, left = store.get(name), store.pttl(name)
        store.delete(name)
        store.hset(name, "wrong", "type")
        assert status(door, key) == 503
        store.delete(name)
        store.set(name, sealed, px=left)
        assert wait_until(lambda: status(door, key) == 200)


# What nobody thought of -----------------------------------------------------

PIECES = (
    *("a", "echo", ".", "..", "/", "//", "\\", ";", ";x", "?", "&", "%", "%2", "%zz"),
    *("%2e", "%2E", "%2f", "%5c", "%00", "%20", "%09", "%25", "%252e", "2e", "%3b"),
    *("%c0%ae", "%c0%af", "%e2%80%a5", "%ef%bc%8f", "%ef%bc%8e", "%ef%bc%bc"),
    *("%c2%a0", "%e3%80%80", "%e1%9a%80", "%e2%80%a8", "%c2%85", "%7f", "%ed%a0%80"),
    *("%f4%90%80%80", "%ea%b9%80", "%e2%84%80", "%ef%bb%bf", "%cd%be", "~", "[", "|"),
)
ROUNDS = 400


def test_the_doors_agree_on_paths_that_chance_makes(
    house: House, lasting_key: str
) -> None:
    chance = random.Random(20261124)  # noqa: S311 - the same paths each time
    for _ in range(ROUNDS):
        rest = "".join(chance.choices(PIECES, k=chance.randint(1, 6)))
        target = f"/api/proxy/{chance.choice(['echo', 'crm'])}/{rest}"
        found = {name: read_by(house.door(name), target, lasting_key) for name in DOORS}
        assert len(set(found.values())) == 1, (target, found)


def read_by(door: Door, target: str, key: str) -> bytes | None:
    """What the upstream got of this target; None when it was refused."""
    seen = door.seen
    answer = door.ask(target, key=key)
    passed = answer.status == 200 and door.seen == seen + 1
    return door.house.upstream.last.target if passed else None


SHORTEN = """
from datetime import timedelta
from accounts.sessions.store import SessionStore
session = SessionStore({key!r})
session.set_expiry({value})
session.save()
"""


def shorten(house: House, key: str, value: str) -> None:
    code = SHORTEN.format(key=key, value=value)
    assert house.site.manage("shell", "--no-imports", "-c", code).returncode == 0


def test_a_life_ends_at_the_moment_that_was_set(
    door: Door, key: str, store: redis.Redis
) -> None:
    """By what is under the seal: the store's own expiry is put back to a later one."""
    with value_of(door, key, store) as name:
        shorten(door.house, key, "timedelta(seconds=2)")
        store.pexpire(name, 50_000)
        assert wait_until(lambda: status(door, key) == 401)
        assert store.exists(name)


def test_an_idle_session_ends_after_the_seconds_that_were_set(
    door: Door, key: str, store: redis.Redis
) -> None:
    with value_of(door, key, store) as name:
        other = fresh_key(door.house)
        shorten(door.house, key, "1")
        assert wait_until(lambda: not store.exists(name))
        assert status(door, key) == 401
        assert status(door, other) == 200
