"""Compares index, facts and values, both ways: nothing live hides, nothing dead haunts.

Reads everything, in batches, beside normal work. What looks wrong is looked at twice,
because a session may begin or end between two reads; only what is wrong both times is
a stray.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from accounts import keys
from accounts.sessions import clock, facts, index, values
from accounts.sessions.connections import answering, client
from accounts.sessions.index import Order, places
from accounts.sessions.questions import answers
from accounts.sessions.record import Record

BATCH = 1000


@dataclass(slots=True)
class Census:
    """`hidden`: live and not in every set it belongs to. `haunting`: the opposite."""

    live: int = 0
    hidden: list[str] = field(default_factory=list)
    haunting: list[str] = field(default_factory=list)

    @property
    def strays(self) -> int:
        return len(self.hidden) + len(self.haunting)


def check() -> Census:
    """Counts, and names every stray. Raises SessionStoreError."""
    with answering():
        return _check(client())


def repair() -> Census:
    """Mends what `check` finds; gives what it found."""
    with answering():
        store = client()
        found = _check(store)
        for record, expiry in _live(store, found.hidden):
            index.enter(store, record, record.last_used(expiry))
        if haunting := set(found.haunting):
            index.drop(store, found.haunting)
            for name in _named_sets(store):
                _forget_in(store, name, haunting)
        return found


def _check(store: Any) -> Census:
    census = Census()
    for batch in _batches(_stored_ids(store)):
        census.live += len(_live(store, batch))
        census.hidden += _twice(lambda ids: _hidden(store, ids), batch)
    entries: set[str] = set()
    for name in [*(order.value for order in Order), *_named_sets(store)]:
        for batch in _batches(_members(store, name)):
            entries.update(_twice(lambda ids: _haunting(store, ids), batch))
    for batch in _batches(facts.everything(store, keys.buckets())):
        entries.update(_twice(lambda ids: _haunting(store, ids), batch))
    census.haunting = sorted(entries)
    return census


def _twice(find: Callable[[list[str]], list[str]], ids: list[str]) -> list[str]:
    suspects = find(ids)
    return find(suspects) if suspects else []


def _live(store: Any, ids: Iterable[str]) -> list[tuple[Record, int]]:
    now = clock.now()
    return [
        (record, expiry)
        for _, record, expiry, cutoff in values.read_with_limits(store, list(ids))
        if record and record.person and record.is_live(expiry, cutoff, now)
    ]


def _hidden(store: Any, ids: list[str]) -> list[str]:
    living = [record for record, _ in _live(store, ids)]
    wanted = [(record.id, *place) for record in living for place in places(record)]
    pipeline = store.pipeline(transaction=False)
    for _, name, member in wanted:
        pipeline.zscore(name, member)
    scores = answers(pipeline) if wanted else []
    missing = {
        identifier
        for (identifier, _, _), score in zip(wanted, scores, strict=True)
        if score is None
    }
    return sorted(missing | _misdescribed(store, living))


def _misdescribed(store: Any, records: list[Record]) -> set[str]:
    """Ids of those whose facts are missing, or say something else than the record."""
    noted = facts.of_each(store, [record.id for record in records])
    words = facts.meanings(store, noted.values())
    return {
        record.id
        for record in records
        if record.id not in noted or not facts.tell(noted[record.id], record, words)
    }


def _haunting(store: Any, ids: list[str]) -> list[str]:
    now = clock.milliseconds(clock.now())
    pipeline = store.pipeline(transaction=False)
    for identifier in ids:
        pipeline.exists(keys.value(identifier))
        pipeline.zscore(keys.BY_END, bytes.fromhex(identifier))
    found = iter(answers(pipeline))
    return [
        identifier
        for identifier, exists, end in zip(ids, found, found, strict=True)
        # Past its end it is no longer counted or shown, only not yet pruned.
        if not exists and not (end is not None and end <= now)
    ]


def _stored_ids(store: Any) -> Iterator[str]:
    for name in store.scan_iter(match=keys.ANY_VALUE, count=BATCH):
        yield name.decode().rpartition(":")[2]


def _named_sets(store: Any) -> list[str]:
    return [
        name.decode()
        for pattern in keys.ANY_NAMED_SET
        for name in store.scan_iter(match=pattern, count=BATCH)
    ]


def _members(store: Any, name: str) -> Iterator[str]:
    now = clock.milliseconds(clock.now())
    is_scored_by_end = name not in {keys.BY_USE, keys.BY_START}
    for member, score in store.zscan_iter(name, count=BATCH):
        if not (is_scored_by_end and score <= now):
            yield member[-index.BYTES :].hex()


def _forget_in(store: Any, name: str, ids: set[str]) -> None:
    members = [member for member, _ in store.zscan_iter(name, count=BATCH)]
    haunting = [m for m in members if m[-index.BYTES :].hex() in ids]
    for start in range(0, len(haunting), BATCH):
        store.zrem(name, *haunting[start : start + BATCH])


def _batches(ids: Iterable[str]) -> Iterator[list[str]]:
    source = iter(ids)
    while batch := list(islice(source, BATCH)):
        yield batch
