"""What a security admin does: list, count, find, kill; and what follows a kill."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter

import redis

from accounts.models import User
from accounts.sessions import live
from benchmarks.sessions import crowd
from benchmarks.sessions.timing import Tally, median, microseconds, tallied

WHO = "benchmark"
CALLS = 20
# Those who lose one session, and those who lose all, are not the same people.
KILLED_WHOLLY = range(20)
KILLED_ONCE = range(20, 40)

Call = Callable[[], object]


@dataclass(frozen=True)
class Cost:
    """Milliseconds of the whole call and inside the server, and round trips."""

    whole: float
    store: float
    round_trips: float


def verbs(size: int, runs: int, url: str, observer: redis.Redis) -> dict[str, Cost]:
    """The cost of each act at this size of crowd; the crowd is dead afterwards."""
    users = [User.objects.enter(crowd.profile(n))[0] for n in KILLED_WHOLLY]
    found: dict[str, list[Cost]] = {}
    for _ in range(runs):
        for name, calls in _reading(size) + _killing(users):
            found.setdefault(name, []).append(_cost(calls, observer))
        crowd.fill(url, range(KILLED_ONCE.stop))
    for _ in range(runs):
        calls = [partial(live.end_everyone, by=WHO)] * CALLS
        found.setdefault("cut off everyone", []).append(_cost(calls, observer))
    return {name: _middle(costs) for name, costs in found.items()}


def cleared_per_second(url: str, size: int, observer: redis.Redis) -> float:
    """Sessions that a clear-up removes a second, after a cut-off."""
    observer.flushall()
    crowd.fill(url, people(size))
    live.end_everyone(by=WHO)
    return _rate(live.clear_up, size)


def purged_per_second(url: str, size: int, observer: redis.Redis) -> float:
    """Entries of sessions that ran out, removed a second."""
    observer.flushall()
    crowd.fill(url, people(size), expired=True)
    return _rate(live.purge, size)


def people(size: int) -> range:
    return range(size // crowd.SESSIONS_EACH)


def _reading(size: int) -> list[tuple[str, Sequence[Call]]]:
    of_person = [partial(live.of_person, crowd.ISSUER, crowd.sub(n)) for n in range(20)]
    middle = partial(live.page, offset=size // 2)
    return [
        ("list, first 100", [live.page] * CALLS),
        ("list, 100 from the middle", [middle] * CALLS),
        ("count", [live.count] * CALLS),
        ("find by person (20)", of_person),
    ]


def _killing(users: Sequence[User]) -> list[tuple[str, Sequence[Call]]]:
    once = [crowd.session_id(crowd.numbers_of(person)[0]) for person in KILLED_ONCE]
    end_person = [partial(live.end_person, user, by=WHO) for user in users]
    return [
        ("kill one", [partial(live.end, [one], by=WHO) for one in once]),
        ("kill all of one person (20)", end_person),
    ]


def _cost(calls: Sequence[Call], observer: redis.Redis) -> Cost:
    with tallied(observer) as tally:
        times = [microseconds(call) for call in calls]
    return _per_call(tally, times)


def _per_call(tally: Tally, times: Sequence[float]) -> Cost:
    return Cost(
        whole=median(times) / 1000,
        store=tally.store_us / len(times) / 1000,
        round_trips=tally.round_trips / len(times),
    )


def _middle(costs: Sequence[Cost]) -> Cost:
    return Cost(
        whole=median([cost.whole for cost in costs]),
        store=median([cost.store for cost in costs]),
        round_trips=median([cost.round_trips for cost in costs]),
    )


def _rate(act: Callable[[], int], expected: int) -> float:
    start = perf_counter()
    removed = act()
    seconds = perf_counter() - start
    if removed != expected:
        raise RuntimeError(f"{removed} removed instead of {expected}")
    return removed / seconds
