"""The end of everyone at once: one mark, and the clear-up after it.

From the mark on, every session that began before is refused, whatever their number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import Any

from django.conf import settings
from django.db import connections

from accounts import keys
from accounts.sessions import clock, facts, index, values
from accounts.sessions.connections import answers

# While the store works for one thread, the other reads and writes its own bytes.
THREADS = 2
MOST_BUCKETS_AT_ONCE = 256


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
    groups = _groups(keys.buckets(), index.count_all(store))
    threads = ThreadPoolExecutor(THREADS)
    try:
        removed = sum(threads.map(partial(_clear_up, store, standing), groups))
    finally:
        # A store that does not answer one of them need not be asked by all the others.
        threads.shutdown(cancel_futures=True)
    while doomed := index.begun_before(store, last, values.BATCH):
        removed += len(values.erase(store, dict.fromkeys(doomed, last / 1000)))
        index.drop(store, doomed)
    return removed


def _clear_up(store: Any, standing: Mapping[str, int], buckets: Sequence[str]) -> int:
    try:
        return _clear_buckets(store, standing, buckets)
    finally:
        # The fence may have read the ledger in this thread.
        connections.close_all()


def _clear_buckets(
    store: Any, standing: Mapping[str, int], buckets: Sequence[str]
) -> int:
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


def _groups(buckets: Sequence[str], sessions: int) -> Iterator[Sequence[str]]:
    """The buckets, as many together as hold somewhat less than a batch of sessions."""
    wanted = values.BATCH * 3 // 4 * len(buckets) // max(sessions, 1)
    size = max(1, min(MOST_BUCKETS_AT_ONCE, wanted))
    return (buckets[start : start + size] for start in range(0, len(buckets), size))
