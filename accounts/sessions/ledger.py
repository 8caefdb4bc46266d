"""Kills that the store must never forget.

The store can lose its memory; SQL is where a kill is written first. Replaying the
ledger makes a store that forgot agree with it again.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.models import Model
from redis.exceptions import OutOfMemoryError, ReadOnlyError

from accounts import keys
from accounts.models import Revocation
from accounts.sessions import (
    audit_copy,
    clock,
    cutoff,
    fence,
    index,
    late_entries,
    outages,
    seal,
    values,
)
from accounts.sessions.connections import Nonsense, answering, client
from accounts.sessions.errors import StoreNotFenced
from accounts.sessions.questions import answers, ask, whole_number
from accounts.sessions.record import Record
from accounts.sessions.seal import NotSealed

log = logging.getLogger(__name__)
ACKNOWLEDGE_MILLISECONDS = 200
CATCH_UP_SECONDS = 10
ROWS_AT_ONCE = 500

# Who the store is and since when, in ms; gives for how long that has been known. Of a
# clock that was set back nothing can be concluded.
_NOTE_FENCED = """
local now = redis.call('TIME')
local ms = now[1] * 1000 + math.floor(now[2] / 1000)
local name, since = string.match(redis.call('GET', KEYS[1]) or '', '^(%S+) (%d+)$')
if name == ARGV[2] and tonumber(since) <= ms then return {ARGV[1], ms - since} end
redis.call('SET', KEYS[1], ARGV[2] .. ' ' .. string.format('%d', ms))
return {ARGV[1], 0}
"""
_caught_up = 0.0


def write(rows: Sequence[Revocation], along: Sequence[Model] = ()) -> None:
    """Enters kills and the rows that belong to them, all of them or none.

    Raises django.db.DatabaseError when they cannot be written.
    """
    with transaction.atomic():
        for each in along:
            each.save(force_insert=True)
        Revocation.objects.bulk_create(rows, batch_size=ROWS_AT_ONCE)


def draft(
    kind: Revocation.Kind,
    target: str,
    *,
    by: str,
    reason: str,
    moment: float | None = None,
) -> Revocation:
    """A kill, not yet written: everything of `target` that began before now is dead.

    `moment`: in place of now, in seconds since the epoch.
    """
    now = datetime.fromtimestamp(moment or clock.now(), UTC)
    # No session outlives the absolute limit, so neither need its kill.
    until = now + timedelta(seconds=settings.SESSION_ABSOLUTE_SECONDS)
    return Revocation(
        kind=kind,
        target=target,
        before=now,
        matters_until=until,
        by=by,
        reason=reason,
    )


def sql_now() -> float:
    """The clock of PostgreSQL, in seconds since the epoch.

    The host's where SQL is a file on it, and where SQL is away.
    """
    try:
        if connection.vendor != "postgresql":
            return clock.now()
        with connection.cursor() as cursor:
            cursor.execute("SELECT clock_timestamp()")
            return float(cursor.fetchone()[0].timestamp())
    except DatabaseError:
        return clock.now()


def hold(store: Any, rows: Iterable[Revocation]) -> None:
    """SQL is away: keeps kills in the store, sealed, until it can take them."""
    for row in rows:
        content = {
            "kind": row.kind,
            "target": row.target,
            "before": row.before.isoformat(),
            "matters_until": row.matters_until.isoformat(),
            "by": row.by,
            "reason": row.reason,
        }
        sealed = seal.seal(keys.UNWRITTEN, json.dumps(content).encode())
        store.hset(keys.UNWRITTEN, str(row.reference), sealed)


def settle(store: Any) -> int:
    """Writes what was held into the ledger; tells how many.

    Raises django.db.DatabaseError while SQL is still away. Two who settle at once
    write each kill once: it carries its own reference.
    """
    written = 0
    for reference, sealed in store.hgetall(keys.UNWRITTEN).items():
        try:
            content = json.loads(seal.unseal(keys.UNWRITTEN, sealed))
        except NotSealed as error:
            log.warning("held_kill_refused because=%s", error)
        else:
            _, is_new = Revocation.objects.get_or_create(
                reference=reference.decode(), defaults=content
            )
            written += is_new
        store.hdel(keys.UNWRITTEN, reference)
    return written


def replay() -> None:
    """Makes the store agree with every kill that still matters.

    Raises StoreNotFenced when the ledger cannot be read; the store's own failures
    come through as they are. Some ten round trips, however many kills there are, and
    nothing is written where the store knows already.
    """
    moment = datetime.fromtimestamp(clock.now(), UTC)
    try:
        rows = list(Revocation.objects.filter(matters_until__gt=moment))
    except DatabaseError as error:
        log.error("fence_blocked because=%s", error)
        raise StoreNotFenced("ledger") from error
    store = client()
    late_entries.remember(carry_out(store, rows), rows)
    seconds_fenced(store)
    log.info("ledger_replayed kills=%d", len(rows))
    outages.end()


def seconds_fenced(store: Any) -> float:
    """For how long the store has been known to be the current one, by its own clock.

    Whoever fences a store first, or finds it in the place of another one, writes that
    into it. A store that takes no writes has only just been found.
    """
    try:
        found = ask(_NOTE_FENCED, [keys.FENCED], [fence.name()])[0]
    except (OutOfMemoryError, ReadOnlyError):
        return 0.0
    return whole_number(found) / 1000


def at_the_current_store(store: Any, end: Callable[[], list[Record]]) -> list[Record]:
    """Ends sessions in the store that is the current one before and afterwards.

    What was written to the old primary in the moment of a change counts for nothing, so
    it is done again then. Belongs inside `answering`. Raises Nonsense where the primary
    changes each time.
    """
    ended: dict[str, Record] = {}
    for _ in range(fence.MOST_CHANGES):
        before = fence.generation()
        ended |= {record.id: record for record in end()}
        fence.confirm(store)
        if fence.generation() == before:
            return list(ended.values())
    raise Nonsense("another store each time")


def wait_for_other_leases(store: Any) -> None:
    """Returns when no process can hold a lease on the store that was here before.

    A command that has just started cannot know when the primary changed.
    """
    time.sleep(max(0.0, fence.LEASE_SECONDS - seconds_fenced(store)))


def raise_fence() -> None:
    """Returns once the store may be believed. Belongs inside `answering`.

    Raises StoreNotFenced when the revocation log cannot be read, and the store's own
    failures.
    """
    for _ in range(fence.MOST_CHANGES):
        if fence.stands():
            return
        fence.raise_with(client(), replay, settings.STORE_TIMEOUT_SECONDS)
    if not fence.stands():
        raise StoreNotFenced("another-store")


def replay_for_a_door() -> str:
    """Replays now, whatever was replayed before; tells into which store.

    For a door that cannot read the ledger: a replay that began before it asked may
    have missed the very kill it asks for. Raises StoreNotFenced, StoreUnavailable.
    """
    fence.lower()
    with answering():
        raise_fence()
    # nginx-lua takes a single server only.
    return next(iter(fence.identity()), "")


def catch_up(after: float = 0.0) -> None:
    """Carries out what another process could write into the ledger and not deliver.

    `after`: leaves alone what is younger, in seconds. Whoever decided it is at it, and
    would be told that the sessions were gone already. Raises django.db.DatabaseError,
    and the store's own failures.
    """
    moment = datetime.fromtimestamp(clock.now(), UTC)
    waiting = Revocation.objects.filter(delivered=False, matters_until__gt=moment)
    if after:
        waiting = waiting.filter(before__lte=moment - timedelta(seconds=after))
    rows = list(waiting)
    if rows:
        late_entries.remember(carry_out(client(), rows), rows)
        log.info("ledger_caught_up kills=%d", len(rows))


def catch_up_now_and_then() -> None:
    """`catch_up_if_sql_answers`, at most once in CATCH_UP_SECONDS per process."""
    global _caught_up
    if clock.now() - _caught_up >= CATCH_UP_SECONDS:
        catch_up_if_sql_answers()


def catch_up_if_sql_answers(after: float = 0.0) -> None:
    """`catch_up`, and what else waits for SQL. Raises the store's own failures."""
    global _caught_up
    _caught_up = clock.now()
    try:
        catch_up(after)
    except DatabaseError as error:
        log.warning("ledger_not_read because=%s", error)
    audit_copy.report_outage()
    audit_copy.settle_if_any()


def carry_out(
    store: Any, rows: Sequence[Revocation], is_new: bool = False
) -> list[Record]:
    """Does in the store what the ledger says; gives the sessions that this ended.

    `is_new`: the kill was decided just now, so whatever the store lists began before
    it, whatever the clocks say. One session is ended by its id, which never comes back,
    whenever it began.
    """
    everyone = [row for row in rows if row.kind == Revocation.Kind.EVERYONE]
    if everyone:
        cutoff.set_mark(store, max(row.before.timestamp() for row in everyone))
    before: dict[str, float] = {}
    for row in rows:
        if row.kind in Revocation.ONE:
            before[row.target] = values.ALWAYS
    named = [row for row in rows if row.kind in Revocation.NAMED]
    for row, ids in zip(named, _listed(store, named), strict=True):
        for identifier in ids:
            known = before.get(identifier, 0.0)
            until = values.ALWAYS if is_new else row.before.timestamp()
            before[identifier] = max(known, until)
    ended = values.erase(store, before)
    mark_delivered(rows)
    return ended


def mark_delivered(rows: Sequence[Revocation]) -> None:
    """Notes that the store knows; a failure only means that it is told once more."""
    known = [row.pk for row in rows if row.pk and not row.delivered]
    try:
        for start in range(0, len(known), ROWS_AT_ONCE):
            some = known[start : start + ROWS_AT_ONCE]
            Revocation.objects.filter(pk__in=some).update(delivered=True)
    except DatabaseError as error:
        log.warning("delivery_not_noted because=%s", error)


def is_acknowledged(store: Any) -> bool | None:
    """Whether a replica has everything written so far; None when there is none.

    WAIT speaks for the connection it is sent on, so the question comes with a write of
    its own: a replica that has that one has all before it. In a Cluster there is no
    one place to ask, and the answer is None.
    """
    facts = store.info("replication")
    if not facts.get("connected_slaves"):
        return None
    pipeline = store.pipeline(transaction=False)
    pipeline.set(keys.MARK, b"", px=ACKNOWLEDGE_MILLISECONDS)
    pipeline.execute_command("WAIT", 1, ACKNOWLEDGE_MILLISECONDS)
    return bool(answers(pipeline)[-1])


def _listed(store: Any, rows: Sequence[Revocation]) -> list[list[str]]:
    names = [row.targets() for row in rows]
    flat = [name for several in names for name in several]
    found = iter(index.listed_each(store, flat, clock.now()))
    return [[i for _ in several for i in next(found)] for several in names]
