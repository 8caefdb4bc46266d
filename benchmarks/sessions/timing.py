from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from time import perf_counter_ns
from typing import Any
from unittest.mock import patch

import redis
from redis.connection import AbstractConnection

OWN_QUESTIONS = ("config|resetstat", "info")


def microseconds(call: Callable[[], object]) -> float:
    """How long one call takes."""
    start = perf_counter_ns()
    call()
    return (perf_counter_ns() - start) / 1000


def percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


@dataclass
class Tally:
    """What the server and the wire had to do meanwhile."""

    store_us: float = 0.0
    commands: int = 0
    round_trips: int = 0


@contextmanager
def tallied(observer: redis.Redis) -> Iterator[Tally]:
    """Counts the server's own time in commands, and how often it was asked.

    A command inside a script is counted twice, by itself and in the script.
    """
    tally = Tally()
    send: Any = AbstractConnection.send_packed_command

    def counted(self: Any, *args: Any, **kwargs: Any) -> None:
        tally.round_trips += 1
        send(self, *args, **kwargs)

    observer.config_resetstat()
    with patch.object(AbstractConnection, "send_packed_command", counted):
        yield tally
    stats = {
        name.removeprefix("cmdstat_"): fact
        for name, fact in observer.info("commandstats").items()
        if name.removeprefix("cmdstat_") not in OWN_QUESTIONS
    }
    tally.store_us = sum(fact["usec"] for fact in stats.values())
    tally.commands = sum(fact["calls"] for fact in stats.values())


class Stopwatches:
    """Times chosen functions while they run as parts of something else."""

    def __init__(self) -> None:
        self.rounds: dict[str, list[float]] = {}

    def watching(self, label: str, function: Callable[..., Any]) -> Callable[..., Any]:
        self.rounds[label] = []

        @wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            start = perf_counter_ns()
            try:
                return function(*args, **kwargs)
            finally:
                self.rounds[label][-1] += (perf_counter_ns() - start) / 1000

        return timed

    def next_round(self) -> None:
        """What is called from here on counts together."""
        for times in self.rounds.values():
            times.append(0.0)
