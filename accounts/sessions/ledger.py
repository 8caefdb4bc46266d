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
from django.db import DatabaseError

from accounts import keys
from accounts.models import Revocation
from accounts.sessions import clock, index, seal
from accounts.sessions.connections import client
from accounts.sessions.errors import StoreNotFenced
from accounts.sessions.record import Record
from accounts.sessions.seal import NotSealed

log = logging.getLogger(__name__)
BATCH = 500
ACKNOWLEDGE_MILLISECONDS = 200
# How long a sign-in or a rotation can take at the very most, and then some.
IN_FLIGHT_SECONDS = 600


def write(kind: Revocation.Kind, target: str, *, by: str, reason: str) -> Revocation:
    """Enters a kill: everything of `target` that began before now is dead.

    Raises django.db.DatabaseError when it cannot be written.
    """
    row = draft(kind, target, by=by, reason=reason)
    row.save()
    return row


def draft(kind: Revocation.Kind, target: str, *, by: str, reason: str) -> Revocation:
    """The same kill, not yet written."""
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
    """Applies every kill that still matters to the store.

    Raises StoreNotFenced when the ledger cannot be read; the store's own failures
    come through as they are.
    """
    now = clock.now()
    try:
        rows = list(
            Revocation.objects.filter(
                matters_until__gt=datetime.fromtimestamp(now, UTC)
            )
        )
    except DatabaseError as error:
        log.error("fence_blocked because=%s", error)
        raise StoreNotFenced("ledger") from error
    store = client()
    for row in rows:
        apply(store, row)
    log.info("ledger_replayed kills=%d", len(rows))


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
    return bool(pipeline.execute()[-1])


def apply(store: Any, row: Revocation) -> list[Record]:
    """Carries one kill out in the store; gives the sessions it ended."""
    before = row.before.timestamp()
    if row.kind == Revocation.Kind.EVERYONE:
        set_cutoff(store, before)
        return []
    if row.kind == Revocation.Kind.SESSION:
        store.set(keys.tombstone(row.target), b"", ex=IN_FLIGHT_SECONDS)
        return erase(store, [row.target], before)
    for name in row.targets():
        store.set(keys.mark(name), _mark(before), ex=IN_FLIGHT_SECONDS)
    return erase(store, index.listed(store, row.targets(), clock.now()), before)


def is_killed_meanwhile(store: Any, record: Record, moved_from: str | None) -> bool:
    """Whether a kill was carried out while this session was being written.

    The kill could not find it, and it could not see the kill: so every kill leaves a
    mark for a while, and whoever writes a new session looks for one afterwards.
    """
    names = [name for name in (record.person, record.origin) if name]
    pipeline = store.pipeline(transaction=False)
    for name in names:
        pipeline.get(keys.mark(name))
    pipeline.exists(keys.tombstone(moved_from or record.id))
    *marks, is_buried = pipeline.execute()
    began = clock.milliseconds(record.began)
    return bool(is_buried) or any(mark and int(mark) > began for mark in marks)


def set_cutoff(store: Any, before: float) -> None:
    """Marks everything that began before this moment dead, in one round trip."""
    pipeline = store.pipeline(transaction=False)
    until = clock.milliseconds(before + settings.SESSION_ABSOLUTE_SECONDS)
    for shard in keys.SHARDS:
        name = keys.cutoff(shard)
        pipeline.set(name, _mark(before), pxat=until)
    pipeline.execute()


def clear_up(store: Any) -> int:
    """Removes every session that began before the cut-off it is under."""
    marks = [mark for mark in store.mget(map(keys.cutoff, keys.SHARDS)) if mark]
    if not marks:
        return 0
    removed, mark = 0, max(map(int, marks))
    while doomed := index.begun_before(store, mark, BATCH):
        removed += len(erase(store, doomed))
    return removed


def _mark(before: float) -> int:
    # The next whole millisecond: what began within the same one is dead as well.
    return clock.milliseconds(before) + 1


def erase(store: Any, ids: Iterable[str], before: float | None = None) -> list[Record]:
    """Removes sessions, value first and index after; gives those that it ended.

    An id that is already gone is no error and is not among the ended: of two who kill
    the same session exactly one is told that they did.
    """
    ended: list[Record] = []
    ids = list(ids)
    for start in range(0, len(ids), BATCH):
        ended += _erase_batch(store, ids[start : start + BATCH], before)
    return ended


def _erase_batch(store: Any, ids: list[str], before: float | None) -> list[Record]:
    doomed: list[Record] = []
    unreadable: list[str] = []
    absent: list[str] = []
    for identifier, value in zip(ids, _values(store, ids), strict=True):
        record = _opened(identifier, value)
        if value is None:
            # Not deleted either: what is written in this moment has its mark to find.
            absent.append(identifier)
        elif record is None:
            unreadable.append(identifier)
        elif before is None or record.began < before:
            doomed.append(record)
    removed = _delete(store, [record.id for record in doomed])
    _delete(store, unreadable)
    index.leave(store, doomed)
    index.forget(store, absent + unreadable, clock.now())
    return [record for record, gone in zip(doomed, removed, strict=True) if gone]


def _values(store: Any, ids: Sequence[str]) -> list[bytes | None]:
    pipeline = store.pipeline(transaction=False)
    for identifier in ids:
        pipeline.get(keys.value(identifier))
    return list(pipeline.execute()) if ids else []


def _delete(store: Any, ids: Sequence[str]) -> list[int]:
    pipeline = store.pipeline(transaction=False)
    for identifier in ids:
        pipeline.delete(keys.value(identifier))
    return list(pipeline.execute()) if ids else []


def read_with_limits(
    store: Any, ids: Sequence[str]
) -> list[tuple[str, Record | None, int, int]]:
    """The record of each id, the store's expiry and the cut-off it is under, in ms.

    The record is None for what is gone or was not sealed by us.
    """
    pipeline = store.pipeline(transaction=False)
    for identifier in ids:
        pipeline.get(keys.value(identifier))
        pipeline.pexpiretime(keys.value(identifier))
        pipeline.get(keys.cutoff(identifier[0]))
    answers = iter(pipeline.execute() if ids else [])
    return [
        (identifier, _opened(identifier, value), expiry, int(cutoff or 0))
        for identifier, value, expiry, cutoff in zip(
            ids, answers, answers, answers, strict=True
        )
    ]


def _opened(identifier: str, value: bytes | None) -> Record | None:
    if value is None:
        return None
    try:
        return Record.unseal(identifier, value)
    except NotSealed as error:
        log.warning("session_refused session_id=%s because=%s", identifier, error)
        return None
