"""A store that answers, but not as it should: whoever is in stays in where reading is
enough, and all else is an outage."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
import redis

from backoffice.demo.children import Child
from backoffice.demo.store import Presence, presence
from tests.doors.conftest import fresh_key
from tests.doors.house import Door, House
from tests.doors.test_kills import name_of
from tests.doors.test_outages import (
    ALL_WORKERS,
    TARGET,
    is_an_outage,
    settled,
    statuses,
)
from tests.waiting import wait_until

TEN_MINUTES_MS = 10 * 60 * 1000
STORE_UNREACHABLE = 3

NO_WRITES = {
    "without-replicas": (
        "CONFIG SET min-replicas-to-write 1",
        "CONFIG SET min-replicas-to-write 0",
    ),
    "no-leave-to-write": ("ACL SETUSER default -@write", "ACL SETUSER default +@all"),
}
REPLICA = ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE")
FULL = ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0")
NO_ANSWERS = {
    "no-leave-to-read": ("ACL SETUSER default -get", "ACL SETUSER default +@all"),
    "password": (
        "CONFIG SET requirepass x; CLIENT KILL TYPE normal SKIPME yes",
        "CONFIG SET requirepass ''",
    ),
    "replica-without-its-primary": (
        "CONFIG SET replica-serve-stale-data no; REPLICAOF 127.0.0.1 1",
        "REPLICAOF NO ONE; CONFIG SET replica-serve-stale-data yes",
    ),
}


@pytest.fixture
def store(house: House) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(house.site.store.url, single_connection_client=True)
    yield client
    client.close()


@contextmanager
def told(store: redis.Redis, begin: str, end: str) -> Iterator[None]:
    """The store does as it is told, until the end."""
    try:
        for command in begin.split(";"):
            store.execute_command(*shlex.split(command))
        yield
    finally:
        for command in end.split(";"):
            store.execute_command(*shlex.split(command))


@contextmanager
def loading(house: House) -> Iterator[None]:
    """The store starts, and reads its file so slowly that it stays at that."""
    server = house.site.store
    with redis.Redis.from_url(server.url) as client:
        client.mset({f"filling:{number}": "x" * 1000 for number in range(10_000)})
        client.bgrewriteaof()
        assert wait_until(lambda: has_rewritten(client))
    server.stop()
    slowly = ("--key-load-delay", "20000", "--loading-process-events-interval-bytes")
    child = Child("store", [*server._command(), *slowly, "1024"], log=server.log)
    try:
        assert wait_until(lambda: presence(server.url) is Presence.LOADING)
        yield
        assert presence(server.url) is Presence.LOADING
    finally:
        child.kill()
        server.start()
        with redis.Redis.from_url(server.url) as client:
            client.delete(*(f"filling:{number}" for number in range(10_000)))


def has_rewritten(client: redis.Redis) -> bool:
    facts = client.info("persistence")
    return not (facts["aof_rewrite_in_progress"] or facts["aof_rewrite_scheduled"])


def let_a_use_be_due(door: Door, key: str, store: redis.Redis) -> None:
    """The next call is one that would be noted in the store."""
    assert settled(door, key) == 200
    identifier = str(door.house.upstream.last.get("X-Session-Id"))
    name = f"bo:{{{identifier[0]}}}:s:{identifier}"
    store.pexpireat(name, store.pexpiretime(name) - TEN_MINUTES_MS)


@pytest.mark.parametrize(
    "trouble", [FULL, *NO_WRITES.values()], ids=["full", *NO_WRITES]
)
def test_a_store_that_takes_no_writes_keeps_whoever_is_in(
    door: Door, key: str, store: redis.Redis, trouble: tuple[str, str]
) -> None:
    let_a_use_be_due(door, key, store)
    with told(store, *trouble):
        answers = [door.ask(TARGET, key=key) for _ in range(ALL_WORKERS)]
        assert {answer.status for answer in answers} == {200}
        assert not any(answer.all("Set-Cookie") for answer in answers)
        assert door.ask(TARGET, key="a" * 32).status == 401
    assert settled(door, key) == 200
    assert door.ask(TARGET, key=fresh_key(door.house)).status == 200


def test_store_that_became_a_replica_is_503_once_that_is_known(
    door: Door, key: str, store: redis.Redis
) -> None:
    assert settled(door, key) == 200
    with told(store, *REPLICA):
        assert wait_until(
            lambda: all(
                is_an_outage(door.ask(TARGET, key=key)) for _ in range(ALL_WORKERS)
            )
        )
    assert settled(door, key) == 200


def test_a_full_store_takes_a_kill(door: Door, key: str, store: redis.Redis) -> None:
    user = name_of(door, key)
    with told(store, *FULL):
        done = door.house.site.manage(
            "purge_sessions", "--user", user, "--yes", check=False
        )
        assert done.returncode == 0, done.stderr
        assert door.ask(TARGET, key=key).status == 401


@pytest.mark.parametrize("trouble", NO_WRITES.values(), ids=NO_WRITES)
def test_a_kill_that_the_store_does_not_take_is_an_outage_until_it_does(
    door: Door, key: str, store: redis.Redis, trouble: tuple[str, str]
) -> None:
    user = name_of(door, key)
    let_a_use_be_due(door, key, store)
    with told(store, *trouble):
        arguments = ("purge_sessions", "--user", user, "--yes")
        done = door.house.site.manage(*arguments, check=False)
        assert done.returncode == STORE_UNREACHABLE
        # Whoever has not met the trouble learns of the kill by the next use.
        assert wait_until(lambda: is_an_outage(door.ask(TARGET, key=key)))
    # A process that met nothing goes by what it knows until it notes a use. The one
    # that did delivers the kill when it is asked next; of many calls it gets some.
    assert wait_until(lambda: 401 in statuses(door, key))
    assert door.ask(TARGET, key=key).status == 401


@pytest.mark.parametrize("trouble", NO_ANSWERS.values(), ids=NO_ANSWERS)
def test_a_store_that_answers_with_an_error_is_503(
    door: Door, key: str, store: redis.Redis, trouble: tuple[str, str]
) -> None:
    is_503_while(door, key, lambda: told(store, *trouble))


def test_a_store_that_is_loading_is_503(door: Door, key: str) -> None:
    is_503_while(door, key, lambda: loading(door.house))


def is_503_while(
    door: Door, key: str, trouble: Callable[[], AbstractContextManager[None]]
) -> None:
    assert settled(door, key) == 200
    seen = door.seen
    with trouble():
        answers = [door.ask(TARGET, key=key) for _ in range(ALL_WORKERS)]
    assert all(map(is_an_outage, answers))
    assert door.seen == seen
    assert settled(door, key) == 200
