"""P2 at the store's worst: it restarts from the past, and the dead stay dead."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from django.db import DatabaseError
from django.test import Client
from pytest_django.fixtures import Settings

from accounts import keys
from accounts.models import Revocation, User
from accounts.sessions import clock, fence, ledger, live
from accounts.sessions.connections import client
from accounts.sessions.errors import StoreNotFenced, StoreUnavailable
from accounts.sessions.index import FRESH_SECONDS
from accounts.sessions.store import TOUCH_SECONDS
from backoffice.demo.store import EmbeddedStore
from tests.accounts.sessions.conftest import ISSUER, again, begin, is_live, sign_in
from tests.conftest import PATIENCE_SECONDS, Travel, use_store
from tests.topology import wait_for_disk

pytestmark = pytest.mark.django_db


@pytest.fixture
def own_store(tmp_path: Path, settings: Settings) -> Iterator[EmbeddedStore]:
    """A store of this test's own, which keeps snapshots and nothing else."""
    extra = ["--appendonly", "no", "--save", ""]
    with EmbeddedStore(tmp_path / "own", extra=extra) as server:
        use_store(settings, server.url, PATIENCE_SECONDS)
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


def test_kill_that_is_being_carried_out_is_left_to_whoever_decided_it(
    own_store: EmbeddedStore, travel: Travel
) -> None:
    """Else they are told that it was gone already."""
    session = begin("u-1")
    travel.shift(1)
    row = ledger.draft(
        Revocation.Kind.SESSION, str(session.session_id), by="admin", reason=""
    )
    ledger.write([row])
    found = []
    for _ in range(2):
        ledger.catch_up(after=1.0)
        found.append(client().exists(keys.value(str(session.session_id))))
        travel.shift(1.1)
    assert found == [1, 0]


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


# Files from before ----------------------------------------------------------------


def log_of(server: EmbeddedStore) -> Path:
    """The append-only file that is being written."""
    (found,) = server.folder.glob("appendonlydir/*.incr.aof")
    return found


@pytest.fixture
def logging_store(tmp_path: Path, settings: Settings) -> Iterator[EmbeddedStore]:
    """A store that writes its log to the disk once a second."""
    every = ["--appendonly", "yes", "--appendfsync", "everysec"]
    with EmbeddedStore(tmp_path / "own", extra=every) as server:
        use_store(settings, server.url, PATIENCE_SECONDS)
        yield server


def test_log_that_lost_its_last_second_revives_nobody(
    logging_store: EmbeddedStore,
) -> None:
    """K6: the machine dies before the second is over in which the kill was written."""
    victim, other = begin("u-1"), begin("u-2")
    wait_for_disk(logging_store)
    log = log_of(logging_store)
    size = log.stat().st_size
    live.end([str(victim.session_id)], by="admin")
    wait_for_disk(logging_store)
    assert log.stat().st_size > size
    logging_store.kill()
    with log.open("r+b") as file:
        file.truncate(size)
    logging_store.start()
    with redis.Redis.from_url(logging_store.url) as store:
        assert store.exists(victim.record.name)  # type: ignore[union-attr]
    assert [is_live(victim), is_live(other)] == [False, True]


def test_backup_put_back_revives_nobody_who_was_killed_since(
    own_store: EmbeddedStore, tmp_path: Path, travel: Travel
) -> None:
    """K7: by name, by person, by everyone; and who signed in since is gone."""
    killed, of_person, stays = begin("u-1"), begin("u-2"), begin("u-3")
    backup(own_store, tmp_path)
    travel.shift(60)
    live.end([str(killed.session_id)], by="admin")
    live.end_subject("https://idp.example", "u-2", by="admin")
    since = begin("u-4")
    put_back(own_store, tmp_path)
    alive = [is_live(each) for each in (killed, of_person, stays, since)]
    assert alive == [False, False, True, False]
    assert [each.id for each in live.page()] == [stays.session_id]


def test_backup_of_yesterday_brings_nobody_back(
    own_store: EmbeddedStore, tmp_path: Path, travel: Travel, settings: Settings
) -> None:
    """K7: whatever was in it is past its limits, which stand under the seal."""
    session = begin("u-1")
    with redis.Redis.from_url(own_store.url) as store:
        # As if the store's clock had not moved since: it is ours that counts.
        store.persist(session.record.name)  # type: ignore[union-attr]
        store.pexpire(session.record.name, 7 * 86_400_000)  # type: ignore[union-attr]
    backup(own_store, tmp_path)
    travel.shift(settings.SESSION_ABSOLUTE_SECONDS + 1)
    put_back(own_store, tmp_path)
    assert not is_live(session)
    assert live.page() == []


def test_backup_put_back_revives_no_one_who_signed_out_since(
    own_store: EmbeddedStore, tmp_path: Path, client: Client, user: User
) -> None:
    """K7: to sign out is meant as seriously as a kill."""
    session = sign_in(client, user)
    backup(own_store, tmp_path)
    client.post("/sign-out/")
    put_back(own_store, tmp_path)
    assert not is_live(session)


def test_backup_put_back_does_not_open_under_a_key_that_was_replaced(
    own_store: EmbeddedStore, tmp_path: Path
) -> None:
    """K7: a copy of the cookie from before a step-up."""
    session = begin("u-1")
    copy = again(session)
    backup(own_store, tmp_path)
    session.cycle_key()
    put_back(own_store, tmp_path)
    assert not is_live(copy)


def backup(server: EmbeddedStore, folder: Path) -> None:
    snapshot(server)
    shutil.copy(server.folder / "dump.rdb", folder / "backup.rdb")


def put_back(server: EmbeddedStore, folder: Path) -> None:
    server.kill()
    shutil.copy(folder / "backup.rdb", server.folder / "dump.rdb")
    server.start()


def test_a_store_that_takes_no_writes_may_be_believed_after_kills(
    store: redis.Redis, travel: Travel
) -> None:
    """The ledger is replayed first, which writes nothing that is written already."""
    killed, kept = begin("u-1"), begin("u-2")
    live.end([str(killed.session_id)], by="a test", reason="")
    assert is_live(kept)
    travel.shift(FRESH_SECONDS + 1)
    try:
        store.config_set("min-replicas-to-write", 1)
        fence.lower()
        assert is_live(kept)
        assert not is_live(killed)
    finally:
        store.config_set("min-replicas-to-write", 0)


@pytest.mark.leases
def test_kill_waits_until_no_lease_on_an_older_store_runs(
    own_store: EmbeddedStore,
) -> None:
    """Another process may believe the store that was here before for so long."""
    first, second = begin("u-1"), begin("u-2")
    live.end([str(first.session_id)], by="admin")
    known = ledger.seconds_fenced(client())
    assert known >= fence.LEASE_SECONDS
    # Later ones find it known.
    live.end([str(second.session_id)], by="admin")
    assert ledger.seconds_fenced(client()) > known
    snapshot(own_store)
    crash_and_restart(own_store)
    third = begin("u-3")
    live.end([str(third.session_id)], by="admin")
    assert ledger.seconds_fenced(client()) >= fence.LEASE_SECONDS


def test_clock_of_the_store_that_is_set_back_makes_it_a_new_one(
    own_store: EmbeddedStore,
) -> None:
    begin()
    with redis.Redis.from_url(own_store.url) as there:
        there.set(keys.FENCED, f"{fence.name()} {int(time.time() * 1000) + 3_600_000}")
    assert ledger.seconds_fenced(client()) == 0


@pytest.mark.parametrize("ends", ["person", "origin", "everyone", "one"])
def test_end_by_a_clock_that_is_behind_holds_and_survives_an_older_file(
    own_store: EmbeddedStore, travel: Travel, ends: str
) -> None:
    """The session began, by the clock of then, twenty seconds after its end."""
    travel.shift(20)
    session = begin("u-1", sid="s-1")
    travel.shift(-20)
    clock.reset()
    assert is_live(session)
    snapshot(own_store)
    if ends == "person":
        live.end_subject(ISSUER, "u-1", by="admin")
    elif ends == "origin":
        live.end_origin(ISSUER, "s-1", by="provider")
    elif ends == "everyone":
        live.end_everyone(by="admin")
    else:
        live.end([str(session.session_id)], by="admin")
    assert not is_live(session)
    crash_and_restart(own_store)
    assert not is_live(session)
