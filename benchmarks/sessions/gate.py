"""A gate check beside a bare GET of the same value, in turn, in one run."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from unittest.mock import patch

import redis

from accounts import keys
from accounts.sessions import clock, connections, fence, record, seal, stored
from accounts.sessions.connections import client
from accounts.sessions.record import Record
from accounts.sessions.store import SessionStore
from benchmarks.sessions import crowd
from benchmarks.sessions.timing import (
    Stopwatches,
    median,
    microseconds,
    percentile,
    tallied,
)

SAMPLE = 2000
WHOLE = "gate check"

# What a check calls, by the place where it looks the name up; a part that the engine
# no longer has is left out of the table.
PARTS = (
    ("key to session id (HMAC)", keys, "session_ids"),
    ("find the client (django-redis)", connections, "client"),
    ("ask the store (pool and wire)", stored, "ask_about"),
    ("fence stands", fence, "stands"),
    ("unseal (HMAC, AES-GCM)", seal, "unseal"),
    ("read JSON", record, "_decode"),
    ("limits and cut-off", Record, "is_live"),
    ("clock", clock, "now"),
)


@dataclass(frozen=True)
class GateCheck:
    """Microseconds, medians over the runs; the ratios are each run's own."""

    p50: float
    p99: float
    get_p50: float
    get_p99: float
    ratio_p50: float
    ratio_p99: float
    touching_p50: float


def measure(size: int, runs: int) -> GateCheck:
    """Loads sessions drawn from the whole crowd. No session ended is among them."""
    sample = _sample(size)
    touching = [microseconds(partial(_check, key)) for key in sample]
    found = [_run(sample) for _ in range(runs)]
    checks, gets = [run[0] for run in found], [run[1] for run in found]
    return GateCheck(
        p50=median([percentile(run, 0.5) for run in checks]),
        p99=median([percentile(run, 0.99) for run in checks]),
        get_p50=median([percentile(run, 0.5) for run in gets]),
        get_p99=median([percentile(run, 0.99) for run in gets]),
        ratio_p50=_ratio(found, 0.5),
        ratio_p99=_ratio(found, 0.99),
        touching_p50=median(touching),
    )


def components(size: int, observer: redis.Redis) -> list[tuple[str, float]]:
    """Microseconds of one check by part, and what it and a GET take in the server."""
    sample = _sample(size)
    for key in sample:
        _check(key)
    whole = median([microseconds(partial(_check, key)) for key in sample])
    parts = _parts(sample)
    rest = ("everything else", max(0.0, whole - sum(cost for _, cost in parts)))
    return [(WHOLE, whole), *parts, rest, *_at_server(sample, observer)]


def _sample(size: int) -> list[str]:
    # A prime stride: no session twice, and neighbours in time far apart.
    numbers = (n * 7919 % size for n in range(min(size, SAMPLE)))
    return [crowd.session_key(number) for number in numbers]


def _check(key: str) -> None:
    if not SessionStore(key).load():
        raise RuntimeError("a session of the crowd is gone")


def _run(sample: list[str]) -> tuple[list[float], list[float]]:
    checks, gets = [], []
    bare = client()
    for key in sample:
        # In turn, so that whatever else this machine does strikes both alike; of
        # another session, so that neither finds its value warm from the other.
        checks.append(microseconds(partial(_check, key)))
        name = keys.value(keys.session_id(sample[-len(checks)]))
        gets.append(microseconds(partial(bare.get, name)))
    return checks, gets


def _ratio(found: list[tuple[list[float], list[float]]], share: float) -> float:
    return median(
        [percentile(run[0], share) / percentile(run[1], share) for run in found]
    )


def _parts(sample: list[str]) -> list[tuple[str, float]]:
    watches = Stopwatches()
    with ExitStack() as stack:
        for label, place, name in PARTS:
            function = getattr(place, name, None)
            if function is not None:
                timed = watches.watching(label, function)
                stack.enter_context(patch.object(place, name, timed))
        for key in sample:
            watches.next_round()
            _check(key)
    return [(label, median(times)) for label, times in watches.rounds.items()]


def _at_server(sample: list[str], observer: redis.Redis) -> list[tuple[str, float]]:
    with tallied(observer) as check:
        for key in sample:
            _check(key)
    bare = client()
    with tallied(observer) as get:
        for key in sample:
            bare.get(keys.value(keys.session_id(key)))
    return [
        ("of it, inside the server", check.store_us / len(sample)),
        ("a bare GET inside the server", get.store_us / len(sample)),
    ]
