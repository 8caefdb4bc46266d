"""Kills that the store must never forget.

The store can lose its memory; SQL is where a kill is written first. Replaying the
ledger makes a store that forgot agree with it again.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import DatabaseError, transaction
from django.db.models import Model

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
from accounts.sessions.connections import answering, client
from accounts.sessions.errors import StoreNotFenced
from accounts.sessions.questions import answers
from accounts.sessions.record import Record
from accounts.sessions.seal import NotSealed

log = logging.getLogger(__name__)
ACKNOWLEDGE_MILLISECONDS = 200
CATCH_UP_SECONDS = 10
ROWS_AT_ONCE = 500
_caught_up = 0.0


def write(rows: Sequence[Revocation], along: Sequence[Model] = ()) -> None:
    """Enters kills and the rows that belong to them, all of them or none.

    Raises django.db.DatabaseError when they cannot be written.
    """
    with transaction.atomic():
        for each in along:
            each.save(force_insert=True)
        Revocation.objects.bulk_create(rows, batch_size=ROWS_AT_ONCE)


def draft(kind: Revocation.Kind, target: str, *, by: str, reason: str) -> Revocation:
    """A kill, not yet written: everything of `target` that began before now is dead."""
    now = datetime.fromtimestamp(clock.now(), UTC)
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
    late_entries.remember(carry_out(client(), rows), rows)
    log.info("ledger_replayed kills=%d", len(rows))
    outages.end()


def replay_for_a_door() -> str:
    """Replays now, whatever was replayed before; gives the run id it was done for.

    For a door that cannot read the ledger: a replay that began before it asked may
    have missed the very kill it asks for. Raises StoreNotFenced, StoreUnavailable.
    """
    fence.lower()
    while not fence.stands():
        with answering():
            # A connection that is new tells who the store is now.
            client().ping()
        fence.raise_with(_replay_answering, settings.STORE_TIMEOUT_SECONDS)
    return fence.identity()


def _replay_answering() -> None:
    with answering():
        replay()


def catch_up() -> None:
    """Carries out what another process could write into the ledger and not deliver.

    Raises django.db.DatabaseError, and the store's own failures.
    """
    moment = datetime.fromtimestamp(clock.now(), UTC)
    rows = list(Revocation.objects.filter(delivered=False, matters_until__gt=moment))
    if rows:
        late_entries.remember(carry_out(client(), rows), rows)
        log.info("ledger_caught_up kills=%d", len(rows))


def catch_up_now_and_then() -> None:
    """`catch_up`, at most once in CATCH_UP_SECONDS per process; SQL may be away."""
    global _caught_up
    if clock.now() - _caught_up < CATCH_UP_SECONDS:
        return
    _caught_up = clock.now()
    try:
        catch_up()
    except DatabaseError as error:
        log.warning("ledger_not_read because=%s", error)
    audit_copy.report_outage()
    audit_copy.settle_if_any()


def carry_out(store: Any, rows: Sequence[Revocation]) -> list[Record]:
    """Does in the store what the ledger says; gives the sessions that this ended."""
    everyone = [row for row in rows if row.kind == Revocation.Kind.EVERYONE]
    if everyone:
        cutoff.set_mark(store, max(row.before.timestamp() for row in everyone))
    before: dict[str, float] = {}
    for row in rows:
        if row.kind in Revocation.ONE:
            before[row.target] = row.before.timestamp()
    named = [row for row in rows if row.kind in Revocation.NAMED]
    for row, ids in zip(named, _listed(store, named), strict=True):
        for identifier in ids:
            known = before.get(identifier, 0.0)
            before[identifier] = max(known, row.before.timestamp())
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
