"""What a security admin does: list, count, find, kill; and what follows a kill."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from time import perf_counter, process_time

import redis

from accounts.models import User
from accounts.sessions import live
from accounts.sessions.live import Order
from benchmarks.sessions import crowd, site
from benchmarks.sessions.timing import Tally, median, microseconds, tallied

WHO = "benchmark"
CALLS = 20
# Those who lose one session, and those who lose all, are not the same people.
KILLED_WHOLLY = range(20)
KILLED_ONCE = range(20, 40)

FEW = 3
# From here on one clear-up is long enough to be its own average.
LARGE = 100_000
BY_GROUP = live.Selection(group="team-03-operations")
BY_MORE = live.Selection(
    department=crowd.DEPARTMENTS[1], provider="oidc", idle_for=timedelta(minutes=5)
)

Call = Callable[[], object]


@dataclass(frozen=True)
class Cost:
    """Milliseconds by the clock, of our processor and in the server; round trips."""

    whole: float
    cpu: float
    store: float
    round_trips: float


@dataclass(frozen=True)
class Rate:
    """Sessions a second, and microseconds of processor each, ours and the server's."""

    per_second: float
    cpu_us: float


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


def clear_up(url: str, size: int, observer: redis.Redis) -> Rate:
    """Removing what a cut-off has ended; a large crowd is the one that `verbs` left."""
    if size < LARGE:
        site.empty(observer)
        crowd.fill(url, people(size))
    live.end_everyone(by=WHO)
    return _rate(live.clear_up, observer.zcard(Order.START), observer)


def end_selected(url: str, size: int, observer: redis.Redis) -> Rate:
    """Ending half a crowd by what they are, ledger and audit with it."""
    site.empty(observer)
    crowd.fill(url, people(size))
    chosen = live.Selection(department=crowd.DEPARTMENTS[0])
    return _rate(
        lambda: len(live.end_selected(chosen, by=WHO).ended), size // 2, observer
    )


def purge(url: str, size: int, observer: redis.Redis) -> Rate:
    """Removing the entries of what ran out."""
    site.empty(observer)
    crowd.fill(url, people(size), expired=True)
    return _rate(live.purge, size, observer)


def middle(rates: Sequence[Rate]) -> Rate:
    return Rate(
        median([rate.per_second for rate in rates]),
        median([rate.cpu_us for rate in rates]),
    )


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
        ("filter by group", [partial(live.select, BY_GROUP)] * FEW),
        ("filter by department, provider, idle", [partial(live.select, BY_MORE)] * FEW),
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
        start = process_time()
        times = [microseconds(call) for call in calls]
        seconds = process_time() - start
    return _per_call(tally, times, seconds)


def _per_call(tally: Tally, times: Sequence[float], cpu_seconds: float) -> Cost:
    return Cost(
        whole=median(times) / 1000,
        cpu=cpu_seconds / len(times) * 1000,
        store=tally.store_us / len(times) / 1000,
        round_trips=tally.round_trips / len(times),
    )


def _middle(costs: Sequence[Cost]) -> Cost:
    return Cost(
        whole=median([cost.whole for cost in costs]),
        cpu=median([cost.cpu for cost in costs]),
        store=median([cost.store for cost in costs]),
        round_trips=median([cost.round_trips for cost in costs]),
    )


def _rate(act: Callable[[], int], expected: int, observer: redis.Redis) -> Rate:
    start, cpu = perf_counter(), _cpu_seconds(observer)
    removed = act()
    seconds, cpu = perf_counter() - start, _cpu_seconds(observer) - cpu
    if removed != expected:
        raise RuntimeError(f"{removed} removed instead of {expected}")
    return Rate(per_second=removed / seconds, cpu_us=cpu / removed * 1e6)


def _cpu_seconds(observer: redis.Redis) -> float:
    """Of this process and of the server together, so far."""
    server = observer.info("cpu")
    return float(
        process_time() + server["used_cpu_user"] + server["used_cpu_sys"],
    )
