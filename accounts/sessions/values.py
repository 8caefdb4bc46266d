"""The sealed values, many at a time: read them, remove them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from accounts import keys
from accounts.sessions import clock, index
from accounts.sessions.connections import is_cluster
from accounts.sessions.questions import answers, whole_number
from accounts.sessions.record import Record
from accounts.sessions.seal import NotSealed

log = logging.getLogger(__name__)

BATCH = 500
ALWAYS = float("inf")


def opened(identifier: str, value: bytes | None) -> Record | None:
    """The record in a value; None for what is gone or was not sealed by us."""
    if value is None:
        return None
    try:
        return Record.unseal(identifier, value)
    except NotSealed as error:
        log.warning("session_refused session_id=%s because=%s", identifier, error)
        return None


def read_with_limits(
    store: Any, ids: Sequence[str]
) -> list[tuple[str, Record | None, int, int]]:
    """The record of each id, the store's expiry and the cut-off it is under, in ms."""
    pipeline = store.pipeline(transaction=False)
    for identifier in ids:
        pipeline.get(keys.value(identifier))
        pipeline.pexpiretime(keys.value(identifier))
        pipeline.get(keys.cutoff(identifier[0]))
    found = iter(answers(pipeline) if ids else [])
    return [
        (identifier, opened(identifier, value), whole_number(end), int(cutoff or 0))
        for identifier, value, end, cutoff in zip(ids, found, found, found, strict=True)
    ]


def remove(store: Any, ids: Sequence[str]) -> int:
    """Removes values unread, in one command for each shard; tells how many went."""
    names = [keys.value(identifier) for identifier in ids]
    if is_cluster(store):
        return sum(_delete(store, ids))
    return whole_number(store.delete(*names)) if names else 0


def erase(store: Any, before: Mapping[str, float]) -> list[Record]:
    """Removes sessions, value first and index after; gives those that it ended.

    `before` maps ids to moments in seconds: a session that began later stays, ALWAYS
    ends it whenever it began. An id that is already gone is no error and is not among
    the ended: of two who kill the same session exactly one is told that they did.
    """
    ended: list[Record] = []
    ids = list(before)
    for start in range(0, len(ids), BATCH):
        ended += _erase_batch(store, ids[start : start + BATCH], before)
    return ended


def _erase_batch(
    store: Any, ids: list[str], before: Mapping[str, float]
) -> list[Record]:
    doomed: list[Record] = []
    unreadable: list[str] = []
    absent: list[str] = []
    for identifier, value in zip(ids, _stored(store, ids), strict=True):
        record = opened(identifier, value)
        if value is None:
            # Not deleted either: what is written in this moment has its mark to find.
            absent.append(identifier)
        elif record is None:
            unreadable.append(identifier)
        elif record.began < before[identifier]:
            doomed.append(record)
    removed = _delete(store, [record.id for record in doomed])
    _delete(store, unreadable)
    index.leave(store, doomed)
    index.forget(store, absent + unreadable, clock.now())
    return [record for record, gone in zip(doomed, removed, strict=True) if gone]


def _stored(store: Any, ids: Sequence[str]) -> list[bytes | None]:
    names = [keys.value(identifier) for identifier in ids]
    if not names:
        return []
    pipeline = store.pipeline(transaction=False)
    if not is_cluster(store):
        (found,) = answers(pipeline.mget(names))
        return list(found)
    for name in names:
        pipeline.get(name)
    return answers(pipeline)


def _delete(store: Any, ids: Sequence[str]) -> list[int]:
    pipeline = store.pipeline(transaction=False)
    for identifier in ids:
        pipeline.delete(keys.value(identifier))
    return [whole_number(answer) for answer in answers(pipeline)] if ids else []
