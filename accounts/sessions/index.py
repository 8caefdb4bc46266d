"""Which sessions are live, in the orders in which people ask.

The index may over-report for a moment and never hides: it is written before the value
and removed after it. Every set is scored by time, so that dead entries are found
without anybody announcing a death, and pruned by whoever touches or lists next.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from accounts import keys
from accounts.sessions.clock import milliseconds
from accounts.sessions.connections import answers, whole_number
from accounts.sessions.record import Record

PRUNE_AT_MOST = 200
PRUNE_BATCH = 1000
FRESH_SECONDS = 60

# KEYS: by use, by start, by end. ARGV: what counts as fresh (ms), then ids.
_FORGET_UNLESS_FRESH = """
for place = 2, #ARGV do
  local used = redis.call('ZSCORE', KEYS[1], ARGV[place])
  if not used or tonumber(used) < tonumber(ARGV[1]) then
    for _, name in ipairs(KEYS) do redis.call('ZREM', name, ARGV[place]) end
  end
end
"""


class Order(StrEnum):
    """The orders of the list; each is one sorted set."""

    LAST_USE = keys.BY_USE
    START = keys.BY_START
    END = keys.BY_END


def enter(client: Any, record: Record, now: float) -> None:
    """Lists a session that is about to be written."""
    expiry = record.expiry(now)
    pipeline = client.pipeline(transaction=False)
    pipeline.zadd(keys.BY_USE, {record.id: milliseconds(now)})
    pipeline.zadd(keys.BY_START, {record.id: milliseconds(record.began)})
    pipeline.zadd(keys.BY_END, {record.id: expiry})
    for name in _names(record):
        pipeline.zadd(name, {record.id: expiry})
        pipeline.pexpireat(name, milliseconds(record.ends), nx=True)
        pipeline.pexpireat(name, milliseconds(record.ends), gt=True)
    answers(pipeline)


def move(client: Any, record: Record, now: float) -> None:
    """Notes a use, only of what is still listed: a touch must not revive an entry."""
    expiry = record.expiry(now)
    pipeline = client.pipeline(transaction=False)
    pipeline.zadd(keys.BY_USE, {record.id: milliseconds(now)}, xx=True, gt=True)
    for name in (keys.BY_END, *_names(record)):
        pipeline.zadd(name, {record.id: expiry}, xx=True, gt=True)
    for name in _names(record):
        pipeline.zremrangebyscore(name, "-inf", milliseconds(now))
    answers(pipeline)
    prune(client, now, PRUNE_AT_MOST)


def leave(client: Any, records: Sequence[Record]) -> None:
    """Takes sessions whose values are gone out of every set."""
    if not records:
        return
    leaving: dict[str, list[str]] = {}
    for record in records:
        for name in _names(record):
            leaving.setdefault(name, []).append(record.id)
    pipeline = client.pipeline(transaction=False)
    _forget(pipeline, [record.id for record in records])
    for name, ids in leaving.items():
        pipeline.zrem(name, *ids)
    answers(pipeline)


def forget(client: Any, ids: Sequence[str], now: float) -> None:
    """Takes ids that were found without a value out of the global sets.

    Not the fresh ones: a session stands in the index a moment before it is written,
    and whoever looked in that moment must not make it hide for its whole life.
    """
    if ids:
        fresh = milliseconds(now - FRESH_SECONDS)
        names = [order.value for order in Order]
        client.eval(_FORGET_UNLESS_FRESH, len(names), *names, fresh, *ids)


def prune(client: Any, now: float, at_most: int) -> int:
    """Removes entries past their end, up to a number; tells how many."""
    dead = client.zrange(
        keys.BY_END, "-inf", milliseconds(now), byscore=True, offset=0, num=at_most
    )
    drop(client, [member.decode() for member in dead])
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


def count_dead(client: Any, now: float) -> int:
    """How many entries are past their end and not yet pruned."""
    return whole_number(client.zcount(keys.BY_END, "-inf", milliseconds(now)))


def page(
    client: Any, order: Order, offset: int, size: int, descending: bool = True
) -> list[str]:
    """Ids in an order; the cost does not depend on how many sessions there are."""
    found = client.zrange(order.value, offset, offset + size - 1, desc=descending)
    return [member.decode() for member in found]


def begun_before(client: Any, moment: int, at_most: int) -> list[str]:
    """Ids of sessions that began before this moment (ms), the oldest first."""
    found = client.zrange(
        keys.BY_START, "-inf", f"({moment}", byscore=True, offset=0, num=at_most
    )
    return [member.decode() for member in found]


def listed(client: Any, names: Sequence[str], now: float) -> list[str]:
    """Ids entered under any of these names (a person's, or a provider session's)."""
    return [
        identifier for found in listed_each(client, names, now) for identifier in found
    ]


def listed_each(client: Any, names: Sequence[str], now: float) -> list[list[str]]:
    """As `listed`, name by name."""
    pipeline = client.pipeline(transaction=False)
    for name in names:
        pipeline.zrange(name, f"({milliseconds(now)}", "+inf", byscore=True)
    found = answers(pipeline) if names else []
    return [[member.decode() for member in members] for members in found]


def places(record: Record) -> list[str]:
    """Every set that a live session stands in."""
    return [*(order.value for order in Order), *_names(record)]


def _names(record: Record) -> list[str]:
    return [name for name in (record.person, record.origin) if name]


def _forget(pipeline: Any, ids: Sequence[str]) -> None:
    for order in Order:
        pipeline.zrem(order.value, *ids)
