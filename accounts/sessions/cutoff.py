"""The end of everyone at once: one mark, and the clear-up after it.

From the mark on, every session that began before is refused, whatever their number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from django.conf import settings
from django.db import connections

from accounts import keys
from accounts.sessions import clock, facts, index, values
from accounts.sessions.questions import answers

# While the store works for one thread, the other reads and writes its own bytes.
THREADS = 2
# Up to here it is quicker to look each one up than to read all buckets.
FEW = 5000


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


def count_live(store: Any) -> int:
    """How many sessions are live, also while what a cut-off ended is still listed."""
    mark, now = max(marks(store)), clock.now()
    if not mark:
        return index.count(store, now)
    index.prune_all(store, now)
    return index.count_since(store, mark)


def clear_up(store: Any) -> int:
    """Removes every session that began before the cut-off it is under.

    The facts say what has to go from where: nothing is opened but what has none. Many
    sessions are taken bucket by bucket of the facts, few by their start.
    """
    standing = dict(zip(keys.SHARDS, marks(store), strict=True))
    last = max(standing.values())
    if not last:
        return 0
    buckets, listed = keys.buckets(), index.count_all(store)
    removed = _clear_buckets(store, standing, buckets, listed) if listed > FEW else 0
    while doomed := index.begun_before(store, last, values.BATCH):
        names = _cut_off(standing, facts.of_each(store, doomed))
        removed += _remove(store, names)
        # Of these the facts do not say it, or there are none.
        others = [identifier for identifier in doomed if identifier not in names]
        removed += len(values.erase(store, dict.fromkeys(others, last / 1000)))
        index.drop(store, others)
    return removed


def _clear_buckets(
    store: Any, standing: Mapping[str, int], buckets: Sequence[str], listed: int
) -> int:
    threads = ThreadPoolExecutor(THREADS)
    try:
        groups = _groups(buckets, listed)
        return sum(threads.map(partial(_clear_group, store, standing), groups))
    finally:
        # A store that does not answer one of them need not be asked by all the others.
        threads.shutdown(cancel_futures=True)


def _clear_group(
    store: Any, standing: Mapping[str, int], buckets: Sequence[str]
) -> int:
    try:
        return _remove(store, _cut_off(standing, facts.everything(store, buckets)))
    finally:
        # The fence may have read the ledger in this thread.
        connections.close_all()


def _cut_off(
    standing: Mapping[str, int], noted: Mapping[str, bytes]
) -> dict[str, list[str]]:
    """Those of these sessions that are cut off, with the names they stand under."""
    firsts = {shard: facts.moment(first) for shard, first in standing.items()}
    return {
        identifier: facts.names_in(fact)
        for identifier, fact in noted.items()
        if fact[facts.START] < firsts[identifier[0]]
    }


def _remove(store: Any, names: Mapping[str, Sequence[str]]) -> int:
    removed, ids = 0, list(names)
    # No more at a time than the store takes in well within the time-out.
    for start in range(0, len(ids), values.BATCH):
        part = ids[start : start + values.BATCH]
        removed += values.remove(store, part)
        index.leave_names(store, {identifier: names[identifier] for identifier in part})
    return removed


def _groups(buckets: Sequence[str], sessions: int) -> Iterator[Sequence[str]]:
    """The buckets, as many together as hold somewhat less than a batch of sessions."""
    size = max(1, values.BATCH * 3 // 4 * len(buckets) // sessions)
    return (buckets[start : start + size] for start in range(0, len(buckets), size))
