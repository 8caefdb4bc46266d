"""Interleaved rounds, A B C, A B C, …: what else the machine does strikes all alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from statistics import median

from benchmarks.proxy import load, processes
from benchmarks.proxy.load import Burst
from benchmarks.proxy.subjects.subject import Subject

REFUSAL_SECONDS = 2
WARM_UP_SECONDS = 1


class Kind(StrEnum):
    """What is asked for."""

    PASS = "with a live session"  # noqa: S105
    BARE = "401, no cookie"
    DEAD = "401, dead cookie"


@dataclass
class Results:
    """Every burst by subject and kind, in the order of the rounds."""

    bursts: dict[tuple[str, Kind], list[Burst]] = field(default_factory=dict)

    def add(self, subject: str, kind: Kind, burst: Burst) -> None:
        self.bursts.setdefault((subject, kind), []).append(burst)

    def has(self, subject: str, kind: Kind = Kind.PASS) -> bool:
        return (subject, kind) in self.bursts

    def values(
        self, subject: str, what: str = "rate", kind: Kind = Kind.PASS
    ) -> list[float]:
        """`what` is a field of Burst."""
        return [getattr(each, what) for each in self.bursts[subject, kind]]

    def middle(self, subject: str, what: str = "rate", kind: Kind = Kind.PASS) -> float:
        return median(self.values(subject, what, kind))


def measure(
    subjects: Sequence[Subject], rounds: int, seconds: int, say: Callable[[str], None]
) -> Results:
    """Raises LoadError when a subject answers otherwise than it must."""
    for subject in subjects:
        load.burst(subject.url, subject.cookie, WARM_UP_SECONDS)
    results = Results()
    for number in range(1, rounds + 1):
        say(f"round {number} of {rounds}")
        for subject in subjects:
            _one(results, subject, Kind.PASS, seconds)
            if subject.is_door:
                _one(results, subject, Kind.BARE, min(seconds, REFUSAL_SECONDS))
                _one(results, subject, Kind.DEAD, min(seconds, REFUSAL_SECONDS))
    return results


def _one(results: Results, subject: Subject, kind: Kind, seconds: int) -> None:
    cookies = {Kind.PASS: subject.cookie, Kind.BARE: "", Kind.DEAD: subject.dead_cookie}
    before = processes.cpu_seconds(subject.pids)
    count = load.burst(subject.url, cookies[kind], seconds, kind is not Kind.PASS)
    spent = processes.cpu_seconds(subject.pids) - before
    found = Burst(
        rate=count.requests / count.duration * 1e6,
        p50=count.p50 / 1000,
        p99=count.p99 / 1000,
        cpu=spent / count.requests * 1e6,
    )
    results.add(subject.name, kind, found)
