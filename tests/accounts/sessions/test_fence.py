"""P2 at the store's worst: it restarts from the past, and the dead stay dead."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from django.db import DatabaseError
from pytest_django.fixtures import Settings

from accounts.models import Revocation
from accounts.sessions import fence, ledger, live
from accounts.sessions.errors import StoreNotFenced, StoreUnavailable
from accounts.sessions.store import TOUCH_SECONDS
from backoffice.demo.store import EmbeddedStore
from tests.accounts.sessions.conftest import again, begin, is_live
from tests.conftest import Travel, use_store

pytestmark = pytest.mark.django_db


@pytest.fixture
def own_store(tmp_path: Path, settings: Settings) -> Iterator[EmbeddedStore]:
    """A store of this test's own, which keeps snapshots and nothing else."""
    extra = ["--appendonly", "no", "--save", ""]
    with EmbeddedStore(tmp_path / "own", extra=extra) as server:
        use_store(settings, server.url)
        yield server


def snapshot(server: EmbeddedStore) -> None:
    client = redis.Redis.from_url(server.url)
    client.save()
    client.close()


def crash_and_restart(server: EmbeddedStore) -> None:
    server.kill()
    server.start()


def test_restart_from_an_older_file_does_not_revive_the_killed(
    own_store: EmbeddedStore,
) -> None:
    victim, other = begin("u-1"), begin("u-2")
    snapshot(own_store)
    live.end([str(victim.session_id)], by="admin")
    crash_and_restart(own_store)
    assert [is_live(victim), is_live(other)] == [False, True]
    assert live.count() == 1


def test_list_after_a_restart_does_not_show_the_killed(
    own_store: EmbeddedStore,
) -> None:
    victim = begin("u-1")
    snapshot(own_store)
    live.end([str(victim.session_id)], by="admin")
    crash_and_restart(own_store)
    assert live.page() == []


def test_cutoff_survives_a_restart(own_store: EmbeddedStore) -> None:
    victim = begin("u-1")
    snapshot(own_store)
    live.end_everyone(by="admin")
    crash_and_restart(own_store)
    assert not is_live(victim)


def test_unreadable_ledger_lets_nobody_in_and_nobody_out(
    own_store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = begin()

    def refuse(*args: object, **kwargs: object) -> None:
        raise DatabaseError("away")

    crash_after_snapshot = own_store
    snapshot(crash_after_snapshot)
    crash_and_restart(own_store)
    with monkeypatch.context() as away:
        away.setattr(Revocation.objects, "filter", refuse)
        with pytest.raises(StoreNotFenced):
            again(session).load()
    assert is_live(session)


def test_open_connection_asks_nothing_more(own_store: EmbeddedStore) -> None:
    session = begin()
    assert is_live(session)
    client = redis.Redis.from_url(own_store.url)
    client.config_resetstat()
    for _ in range(5):
        assert is_live(session)
    calls = client.info("commandstats")
    client.close()
    assert calls["cmdstat_echo"]["calls"] == 5
    assert set(calls) <= {
        "cmdstat_echo",
        "cmdstat_get",
        "cmdstat_pexpiretime",
        "cmdstat_config|resetstat",
        "cmdstat_info",
        "cmdstat_client|setinfo",
        "cmdstat_hello",
    }


def test_kill_during_an_outage_of_the_same_store_takes_effect_at_its_return(
    own_store: EmbeddedStore, settings: Settings
) -> None:
    victim = begin()
    victim_id = str(victim.session_id)
    use_store(settings, "redis://127.0.0.1:1/0")
    assert live.end([victim_id], by="admin").pending
    use_store(settings, own_store.url)
    assert not is_live(victim)


def test_every_process_replays_for_itself(own_store: EmbeddedStore) -> None:
    victim = begin()
    ledger.write(
        [
            ledger.draft(
                Revocation.Kind.SESSION,
                str(victim.session_id),
                by="elsewhere",
                reason="",
            )
        ]
    )
    fence.forget()
    redis_pool_of_a_new_process()
    assert not is_live(victim)


def redis_pool_of_a_new_process() -> None:
    from accounts.sessions.connections import client

    client().connection_pool.disconnect()


def test_kill_that_another_process_could_not_deliver_waits_for_a_touch(
    own_store: EmbeddedStore, travel: Travel
) -> None:
    victim = begin()
    assert is_live(victim)
    ledger.write(
        [
            ledger.draft(
                Revocation.Kind.SESSION,
                str(victim.session_id),
                by="a command",
                reason="",
            )
        ]
    )
    travel.shift(TOUCH_SECONDS + 1)
    is_live(victim)
    assert not is_live(victim)
    assert Revocation.objects.get().delivered


@pytest.mark.parametrize("rounds", [50])
def test_kills_on_both_sides_of_a_crash_revive_nobody(
    own_store: EmbeddedStore, rounds: int
) -> None:
    revived = 0
    for number in range(rounds):
        before, after, stays = (begin(f"{name}-{number}") for name in "abc")
        snapshot(own_store)
        live.end([str(before.session_id)], by="admin")
        own_store.kill()
        pending = live.end([str(after.session_id)], by="admin")
        assert pending.pending
        own_store.start()
        revived += is_live(before) + is_live(after)
        assert is_live(stays)
    assert revived == 0


def test_store_that_does_not_say_who_it_is_is_not_believed(
    own_store: EmbeddedStore,
) -> None:
    session = begin()
    client = redis.Redis.from_url(own_store.url)
    client.acl_setuser("default", enabled=True, commands=["-info"])
    redis_pool_of_a_new_process()
    with pytest.raises(StoreUnavailable):
        again(session).load()
    client.close()
