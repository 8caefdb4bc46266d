"""Which sessions are live, in the orders in which people ask.

The index may over-report for a moment and never hides: it is written before the value
and removed after it. Every set is scored by time, so that dead entries are found
without anybody announcing a death, and pruned by whoever touches or lists next.

In the store a session is named by 12 bytes, here and above by their 24 hex digits.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any

from accounts import keys
from accounts.sessions import facts
from accounts.sessions.clock import milliseconds
from accounts.sessions.questions import answers, whole_number
from accounts.sessions.record import Record

PRUNE_AT_MOST = 200
PRUNE_BATCH = 1000
FRESH_SECONDS = 60
SCORES_AT_ONCE = 5000
# To ask for the score of one entry costs as much as to read this many in order.
FEW = 8
# What a store reads out in well within the time-out while it serves nobody else.
WHOLE_AT_MOST = 200_000
BYTES = 12

# KEYS: by use, by start, by end, then the facts' bucket of each id.
# ARGV: what counts as fresh (ms), then ids.
# Looks before each: a store that takes no writes is told nothing that it knows.
_FORGET_UNLESS_FRESH = """
for place = 2, #ARGV do
  local id, facts = ARGV[place], KEYS[place + 2]
  local used = redis.call('ZSCORE', KEYS[1], id)
  if not used or tonumber(used) < tonumber(ARGV[1]) then
    for n = 1, 3 do
      if redis.call('ZSCORE', KEYS[n], id) then redis.call('ZREM', KEYS[n], id) end
    end
    if redis.call('HEXISTS', facts, id) == 1 then redis.call('HDEL', facts, id) end
  end
end
"""

# One command for what would be a thousand: after a cut-off nearly every session that
# leaves stands in a set of its own. KEYS: sets. ARGV: the entry that leaves each.
_LEAVE_EACH = """
for place = 1, #KEYS do redis.call('ZREM', KEYS[place], ARGV[place]) end
"""

# Not to bring back what a kill has taken out meanwhile.
_NOTE_IF_LISTED = """
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
end
"""


class Order(StrEnum):
    """The orders of the list; each is one sorted set."""

    LAST_USE = keys.BY_USE
    START = keys.BY_START
    END = keys.BY_END


def enter(client: Any, record: Record, now: float) -> None:
    """Lists a session that is about to be written."""
    expiry, member = record.expiry(now), bytes.fromhex(record.id)
    pipeline = client.pipeline(transaction=False)
    # By this one a list finds whatever else was left, should we get no further: it
    # comes first here and goes last.
    pipeline.zadd(keys.BY_USE, {member: milliseconds(now)})
    pipeline.zadd(keys.BY_END, {member: expiry})
    facts.enter(pipeline, record)
    pipeline.zadd(keys.BY_START, {member: milliseconds(record.began)})
    for name, entry in _entries(record):
        pipeline.zadd(name, {entry: expiry})
        pipeline.pexpireat(name, milliseconds(record.ends), nx=True)
        pipeline.pexpireat(name, milliseconds(record.ends), gt=True)
    answers(pipeline)


def move(client: Any, record: Record, now: float) -> None:
    """Notes a use, only of what is still listed: a touch must not revive an entry."""
    expiry, member = record.expiry(now), bytes.fromhex(record.id)
    pipeline = client.pipeline(transaction=False)
    pipeline.zadd(keys.BY_USE, {member: milliseconds(now)}, xx=True, gt=True)
    pipeline.zadd(keys.BY_END, {member: expiry}, xx=True, gt=True)
    for name, entry in _entries(record):
        pipeline.zadd(name, {entry: expiry}, xx=True, gt=True)
        pipeline.zremrangebyscore(name, "-inf", milliseconds(now))
    answers(pipeline)
    prune(client, now, PRUNE_AT_MOST)


def shorten(client: Any, record: Record, now: float) -> None:
    """Lists a session under its earlier end, after its value has got shorter limits.

    Only what is still listed, as in `move`.
    """
    expiry, member = record.expiry(now), bytes.fromhex(record.id)
    pipeline = client.pipeline(transaction=False)
    pipeline.zadd(keys.BY_USE, {member: milliseconds(now)}, xx=True, gt=True)
    pipeline.zadd(keys.BY_END, {member: expiry}, xx=True)
    for name, entry in _entries(record):
        pipeline.zadd(name, {entry: expiry}, xx=True)
    answers(pipeline)


def note(client: Any, record: Record) -> None:
    """Brings the facts up to date with a session that was written again."""
    pipeline = client.pipeline(transaction=False)
    facts.note_words(pipeline, record)
    bucket, member = keys.bucket(record.id), bytes.fromhex(record.id)
    pipeline.execute_command(
        "EVAL", _NOTE_IF_LISTED, 1, bucket, member, facts.pack(record)
    )
    answers(pipeline)


def leave(client: Any, records: Sequence[Record]) -> None:
    """Takes sessions whose values are gone out of every set."""
    names = {record.id: _names(record) for record in records}
    leave_names(client, names)


def leave_names(client: Any, names: Mapping[str, Sequence[str]]) -> None:
    """As `leave`, by id and the names of person and origin it stands under."""
    if not names:
        return
    leaving = [entry_of(name, i) for i, several in names.items() for name in several]
    pipeline = client.pipeline(transaction=False)
    _forget(pipeline, list(names))
    if leaving:
        places, entries = zip(*leaving, strict=True)
        pipeline.execute_command("EVAL", _LEAVE_EACH, len(places), *places, *entries)
    answers(pipeline)


def forget(client: Any, ids: Sequence[str], now: float) -> None:
    """Takes ids that were found without a value out of the global sets.

    Not the fresh ones: a session stands in the index a moment before it is written,
    and whoever looked in that moment must not make it hide for its whole life.
    """
    if ids:
        names = [order.value for order in Order] + [keys.bucket(i) for i in ids]
        fresh = milliseconds(now - FRESH_SECONDS)
        client.eval(_FORGET_UNLESS_FRESH, len(names), *names, fresh, *_members(ids))


def prune(client: Any, now: float, at_most: int) -> int:
    """Removes entries past their end, up to a number; tells how many."""
    dead = client.zrange(
        keys.BY_END, "-inf", milliseconds(now), byscore=True, offset=0, num=at_most
    )
    drop(client, _ids(dead))
    if dead:
        facts.prune(client, now)
    return len(dead)


def prune_all(client: Any, now: float) -> int:
    """Removes every entry past its end; tells how many."""
    removed = 0
    # Counted beforehand: a store that answers nonsense must not keep us for ever.
    for _ in range(count_dead(client, now) // PRUNE_BATCH + 1):
        removed += prune(client, now, PRUNE_BATCH)
    return removed


def drop(client: Any, ids: Sequence[str]) -> None:
    """Takes ids out of the global sets, whatever is known of them."""
    if ids:
        pipeline = client.pipeline(transaction=False)
        _forget(pipeline, ids)
        answers(pipeline)


def count(client: Any, now: float) -> int:
    """How many sessions are live at this moment."""
    return whole_number(client.zcount(keys.BY_END, f"({milliseconds(now)}", "+inf"))


def count_all(client: Any) -> int:
    """How many sessions are listed, whether or not they are live."""
    return whole_number(client.zcard(keys.BY_START))


def count_since(client: Any, moment: int) -> int:
    """How many listed sessions began at this moment (ms) or later."""
    return whole_number(client.zcount(keys.BY_START, moment, "+inf"))


def count_dead(client: Any, now: float) -> int:
    """How many entries are past their end and not yet pruned."""
    return whole_number(client.zcount(keys.BY_END, "-inf", milliseconds(now)))


def page(
    client: Any, order: Order, offset: int, size: int, descending: bool = True
) -> list[str]:
    """Ids in an order; the cost does not depend on how many sessions there are."""
    found = client.zrange(order.value, offset, offset + size - 1, desc=descending)
    return _ids(found)


def sort(
    client: Any, order: Order, ids: Collection[str], descending: bool = True
) -> list[str]:
    """These ids in an order; what is not listed is left out."""
    total = whole_number(client.zcard(order.value))
    if total > WHOLE_AT_MOST or len(ids) * FEW < total:
        return _ids(_sorted(client, order, _members(ids), descending))
    wanted = set(ids)
    listed = client.zrange(order.value, 0, -1, desc=descending)
    return [found for member in listed if (found := member.hex()) in wanted]


def used_until(client: Any, ids: Collection[str], moment: int) -> set[str]:
    """Those of these that were last used at this moment (ms) or before."""
    span = "-inf", moment
    if whole_number(client.zcount(keys.BY_USE, *span)) <= WHOLE_AT_MOST:
        return set(_ids(client.zrange(keys.BY_USE, *span, byscore=True))) & set(ids)
    scored = _scored(client, Order.LAST_USE, _members(ids))
    return set(_ids(member for score, member in scored if score <= moment))


def last_uses(client: Any, ids: Sequence[str]) -> list[float | None]:
    """When each was last used, in seconds; None for what is not listed."""
    found = client.zmscore(keys.BY_USE, _members(ids)) if ids else []
    return [None if score is None else score / 1000 for score in found]


def newest(client: Any) -> float:
    """When the session that began last did so; 0 without one. In seconds."""
    found = client.zrange(keys.BY_START, 0, 0, desc=True, withscores=True)
    return max((score / 1000 for _, score in found), default=0.0)


def begun_before(client: Any, moment: int, at_most: int) -> list[str]:
    """Ids of sessions that began before this moment (ms), the oldest first."""
    found = client.zrange(
        keys.BY_START, "-inf", f"({moment}", byscore=True, offset=0, num=at_most
    )
    return _ids(found)


def listed(client: Any, names: Sequence[str], now: float) -> list[str]:
    """Ids entered under any of these names (a person's, or a provider session's)."""
    return [
        identifier for found in listed_each(client, names, now) for identifier in found
    ]


def listed_each(client: Any, names: Sequence[str], now: float) -> list[list[str]]:
    """As `listed`, name by name."""
    places = [entry_of(name, "") for name in names]
    pipeline = client.pipeline(transaction=False)
    for place, _ in places:
        pipeline.zrange(place, f"({milliseconds(now)}", "+inf", byscore=True)
    found = answers(pipeline) if names else []
    return [
        _ids(entry for entry in entries if entry.startswith(beginning))
        for (_, beginning), entries in zip(places, found, strict=True)
    ]


def places(record: Record) -> list[tuple[str, bytes]]:
    """Every set that a live session stands in, and as what."""
    member = bytes.fromhex(record.id)
    return [*((order.value, member) for order in Order), *_entries(record)]


def entry_of(name: str, identifier: str) -> tuple[str, bytes]:
    """The set in which this person's or origin's session stands, and as what."""
    member = bytes.fromhex(identifier)
    if name.startswith(keys.ORIGINS):
        return keys.origin_bucket(name), keys.reference(name) + member
    return name, member


def _sorted(
    client: Any, order: Order, members: Sequence[bytes], descending: bool
) -> list[bytes]:
    # As the store itself sorts: by score, and by the bytes among equals.
    scored = sorted(_scored(client, order, members), reverse=descending)
    return [member for _, member in scored]


def _scored(
    client: Any, order: Order, members: Sequence[bytes]
) -> Iterator[tuple[float, bytes]]:
    for start in range(0, len(members), SCORES_AT_ONCE):
        some = members[start : start + SCORES_AT_ONCE]
        scores = client.zmscore(order.value, some)
        for score, member in zip(scores, some, strict=True):
            if score is not None:
                yield score, member


def _entries(record: Record) -> list[tuple[str, bytes]]:
    return [entry_of(name, record.id) for name in _names(record)]


def _names(record: Record) -> list[str]:
    return [name for name in (record.person, record.origin) if name]


def _forget(pipeline: Any, ids: Sequence[str]) -> None:
    members = _members(ids)
    facts.leave(pipeline, ids)
    for order in (Order.START, Order.END, Order.LAST_USE):
        pipeline.zrem(order.value, *members)


def _members(ids: Iterable[str]) -> list[bytes]:
    return [bytes.fromhex(identifier) for identifier in ids]


def _ids(members: Iterable[bytes]) -> list[str]:
    return [member[-BYTES:].hex() for member in members]
