"""The end of everyone at once: one mark, and the clear-up after it.

From the mark on, every session that began before is refused, whatever their number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from django.conf import settings

from accounts import keys
from accounts.sessions import clock, facts, index, values
from accounts.sessions.connections import answers

BUCKETS_AT_ONCE = 16


def marks(store: Any) -> list[int]:
    """The cut-off of each shard, in ms; 0 where there is none."""
    pipeline = store.pipeline(transaction=False)
    for shard in keys.SHARDS:
        pipeline.get(keys.cutoff(shard))
    return [int(found or 0) for found in answers(pipeline)]


def mark(before: float) -> int:
    """What to write so that everything that began before this moment is dead."""
    # The next whole millisecond: what began within the same one is dead as well.
    return clock.milliseconds(before) + 1


def set_mark(store: Any, before: float) -> None:
    """Marks everything that began before this moment dead, in one round trip.

    A second one where the mark is not there yet; what stands already is not written
    again, so that a replay asks nothing of a store that cannot write.
    """
    wanted = mark(before)
    missing = [
        shard
        for shard, known in zip(keys.SHARDS, marks(store), strict=True)
        if known < wanted
    ]
    pipeline = store.pipeline(transaction=False)
    until = clock.milliseconds(before + settings.SESSION_ABSOLUTE_SECONDS)
    for shard in missing:
        pipeline.set(keys.cutoff(shard), wanted, pxat=until)
    if missing:
        answers(pipeline)


def clear_up(store: Any) -> int:
    """Removes every session that began before the cut-off it is under.

    Bucket by bucket of the facts, which say what has to go from where: nothing is
    opened. What has no facts is found by its start, and opened.
    """
    standing = dict(zip(keys.SHARDS, marks(store), strict=True))
    last = max(standing.values())
    if not last:
        return 0
    removed = sum(_clear_up(store, some, standing) for some in _groups(keys.buckets()))
    while doomed := index.begun_before(store, last, values.BATCH):
        removed += len(values.erase(store, dict.fromkeys(doomed, last / 1000)))
        index.drop(store, doomed)
    return removed


def _clear_up(store: Any, buckets: Sequence[str], standing: Mapping[str, int]) -> int:
    firsts = {shard: facts.moment(first) for shard, first in standing.items()}
    doomed = {
        identifier: facts.names_in(noted)
        for identifier, noted in facts.everything(store, buckets).items()
        if noted[facts.START] < firsts[identifier[0]]
    }
    # No more at a time than the store takes in well within the time-out.
    parts = [
        dict(islice(doomed.items(), start, start + values.BATCH))
        for start in range(0, len(doomed), values.BATCH)
    ]
    removed = 0
    for part in parts:
        removed += values.remove(store, list(part))
        index.leave_names(store, part)
    return removed


def _groups(buckets: Sequence[str]) -> Iterator[Sequence[str]]:
    return (
        buckets[start : start + BUCKETS_AT_ONCE]
        for start in range(0, len(buckets), BUCKETS_AT_ONCE)
    )
