"""A Sentinel set loses its primary: no kill is lost, no replica is asked."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest
import redis
from django_redis.pool import ConnectionFactory
from pytest_django.fixtures import Settings

from accounts import keys
from accounts.sessions import live
from accounts.sessions.connections import client
from accounts.sessions.errors import SessionStoreError
from accounts.sessions.store import SessionStore
from backoffice.demo.store import EmbeddedStore
from tests import topology
from tests.accounts.sessions.conftest import begin
from tests.conftest import use_store
from tests.topology import Topology, wait_for_primary

pytestmark = pytest.mark.django_db(transaction=True)

# A primary that was stopped is not waited for longer.
HASTY_SECONDS, PROMPT_SECONDS = 1.0, 0.3


@pytest.fixture
def sentinel_set(
    tmp_path_factory: pytest.TempPathFactory, settings: Settings
) -> Iterator[Topology]:
    folder = tmp_path_factory.mktemp("set")
    with topology.sentinel(folder, down_after=1) as running:
        use_store(settings, running.address, HASTY_SECONDS)
        yield running


def state_of(session: SessionStore) -> str:
    try:
        found = SessionStore(session.session_key).record
    except SessionStoreError:
        return "unavailable"
    return "live" if found else "dead"


def settled_state_of(session: SessionStore) -> str:
    """The state once the store answers again."""
    deadline = time.monotonic() + topology.PATIENCE_SECONDS
    while (state := state_of(session)) == "unavailable":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return state


def cut_link(replica: EmbeddedStore) -> None:
    """What the primary hears from now on, the replica never will."""
    with redis.Redis.from_url(replica.url) as connection:
        connection.execute_command("REPLICAOF", "127.0.0.1", "1")


def test_reads_go_to_the_primary(sentinel_set: Topology) -> None:
    cut_link(sentinel_set.servers[1])
    for number in range(20):
        session = begin(f"u-{number}")
        assert state_of(session) == "live"
        live.end([str(session.session_id)], by="admin")
        assert state_of(session) == "dead"
    assert client().info("replication")["role"] == "master"


def test_kill_says_whether_a_replica_has_it(sentinel_set: Topology) -> None:
    confirmed, unconfirmed = begin("u-1"), begin("u-2")
    outcome = live.end([str(confirmed.session_id)], by="admin")
    assert outcome.acknowledged is True
    pid = sentinel_set.servers[1].pid or 0
    os.kill(pid, signal.SIGSTOP)
    try:
        outcome = live.end([str(unconfirmed.session_id)], by="admin")
    finally:
        os.kill(pid, signal.SIGCONT)
    assert outcome.acknowledged is False
    assert outcome.ended == [unconfirmed.session_id]


def test_kill_that_the_replica_missed_survives_the_failover(
    sentinel_set: Topology,
) -> None:
    primary, replica = sentinel_set.servers
    victim, stays = begin("u-1"), begin("u-2")
    with redis.Redis.from_url(primary.url) as connection:
        assert connection.wait(1, 5000) == 1
    cut_link(replica)
    live.end([str(victim.session_id)], by="admin")
    primary.kill()
    with redis.Redis.from_url(replica.url) as connection:
        assert connection.exists(keys.value(str(victim.session_id)))
        connection.execute_command("REPLICAOF", "NO", "ONE")
    wait_for_primary(sentinel_set)
    assert settled_state_of(victim) == "dead"
    assert settled_state_of(stays) == "live"


def test_failover_under_load_revives_nobody_and_signs_nobody_out(
    sentinel_set: Topology,
) -> None:
    staying = [begin(f"stays-{n}") for n in range(5)]
    doomed = [begin(f"dies-{n}") for n in range(30)]
    with redis.Redis.from_url(sentinel_set.servers[0].url) as connection:
        assert connection.wait(1, 5000) == 1
    wrongly_dead: list[str] = []
    done = threading.Event()

    def watch(session: SessionStore) -> None:
        while not done.is_set():
            if state_of(session) == "dead":
                wrongly_dead.append(str(session.session_id))
            time.sleep(0.02)

    watchers = [threading.Thread(target=watch, args=(s,)) for s in staying]
    for watcher in watchers:
        watcher.start()
    for number, session in enumerate(doomed):
        if number == 10:
            sentinel_set.servers[0].kill()
        live.end([str(session.session_id)], by="admin")
    wait_for_primary(sentinel_set)
    states = [settled_state_of(session) for session in doomed]
    done.set()
    for watcher in watchers:
        watcher.join()
    assert states == ["dead"] * len(doomed)
    assert wrongly_dead == []
    assert [settled_state_of(session) for session in staying] == ["live"] * 5


def test_old_primary_that_comes_back_revives_nobody(sentinel_set: Topology) -> None:
    """R5: it still has whom the new one was told to forget."""
    primary = sentinel_set.servers[0]
    victim, stays = begin("u-1"), begin("u-2")
    with redis.Redis.from_url(primary.url) as connection:
        assert connection.wait(1, 5000) == 1
        connection.save()
    primary.kill()
    wait_for_primary(sentinel_set)
    assert settled_state_of(victim) == "live"
    live.end([str(victim.session_id)], by="admin")
    primary.start()
    seen = set()
    deadline = time.monotonic() + topology.PATIENCE_SECONDS
    while not follows(primary):
        assert time.monotonic() < deadline
        seen.add(state_of(victim))
        client().connection_pool.disconnect()
    assert seen <= {"dead", "unavailable"}
    assert settled_state_of(victim) == "dead"
    assert settled_state_of(stays) == "live"


def follows(server: EmbeddedStore) -> bool:
    """Whether it has become a replica, and has what the primary has."""
    with redis.Redis.from_url(server.url) as connection:
        try:
            return connection.info("replication").get("master_link_status") == "up"
        except redis.RedisError:
            return False


def test_sentinels_that_are_down_are_an_outage_for_new_connections_only(
    sentinel_set: Topology, settings: Settings
) -> None:
    """R5: in time, and over once one can be asked again."""
    session = begin()
    assert state_of(session) == "live"
    stop, go_on = signal.SIGSTOP, signal.SIGCONT
    pids = [watcher.pid or 0 for watcher in sentinel_set.watchers]
    for pid in pids:
        os.kill(pid, stop)
    try:
        assert state_of(session) == "live"
        # Connects anew. A Sentinel that stands still for two seconds distrusts itself
        # for thirty more, hence the short timeout.
        ConnectionFactory._pools.clear()
        use_store(settings, sentinel_set.address, PROMPT_SECONDS)
        assert state_of(session) == "unavailable"
    finally:
        for pid in pids:
            os.kill(pid, go_on)
    assert settled_state_of(session) == "live"
