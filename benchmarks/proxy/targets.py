"""What is asked of the doors, and whether it is met.

A ratio is the median of the rounds' own ratios: two bursts of one round met the same
machine. Where a subject was left out, its targets are left open, never passed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.proxy.memory import Memory
from benchmarks.proxy.rounds import Kind, Results

DOORS = ("door1", "door2", "door3")
NODE = ("h3", "express")
# The third Node program is no peer but Node's limit: nobody's parts, all by hand.
PEERS = (*NODE, "django", "openidc")
IDLE_BYTES = 64 * 1024
BULK_GROWTH_BYTES = 10 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Verdict:
    """One target: in words, the bound, and what was found (None: not measured)."""

    what: str
    target: str
    found: float | None
    is_met: bool
    unit: str = ""


def verdicts(results: Results, memories: dict[str, Memory]) -> list[Verdict]:
    return [
        *_speed(results),
        *_refusals(results),
        *_memory(memories),
    ]


def _speed(results: Results) -> Iterator[Verdict]:
    node, peer = best(results, NODE), best(results, PEERS)
    yield _at_least(results, "door1", node, 1.0, "door 1 / better of the two in Node")
    yield _at_most(results, "door1", node, 1.0, "p99: door 1 / the same")
    yield _at_least(results, "door1", "django", 3.0, "door 1 / stock Django")
    yield _at_least(results, "door2", "openidc", 1.5, "door 2 / mod_auth_openidc")
    yield _at_least(results, "door3", peer, 8.0, "door 3 / best peer")
    yield _at_least(results, "door3", "nginx", 0.6, "door 3 / nginx with no check")
    yield _at_most(results, "door3", "nginx", 3.0, "p99: door 3 / the same")


def best(results: Results, names: Sequence[str]) -> str:
    """Which of these was fastest; "" when none was measured, or not all were."""
    if not all(results.has(name) for name in names):
        return ""
    return max(names, key=results.middle)


def ratio(
    results: Results, one: tuple[str, Kind], other: tuple[str, Kind], what: str = "rate"
) -> float | None:
    """The median over the rounds; None when either was not measured."""
    if not (results.has(*one) and results.has(*other)):
        return None
    pairs = zip(
        results.values(one[0], what, one[1]),
        results.values(other[0], what, other[1]),
        strict=True,
    )
    return median(first / second for first, second in pairs)


def _at_least(
    results: Results, door: str, other: str, bound: float, what: str
) -> Verdict:
    found = ratio(results, (door, Kind.PASS), (other, Kind.PASS))
    is_met = found is not None and found >= bound
    return Verdict(_named(what, other), f"≥ {bound:g}", found, is_met)


def _at_most(
    results: Results, door: str, other: str, bound: float, what: str
) -> Verdict:
    found = ratio(results, (door, Kind.PASS), (other, Kind.PASS), "p99")
    is_met = found is not None and found <= bound
    return Verdict(_named(what, other), f"≤ {bound:g}", found, is_met)


def _named(what: str, other: str) -> str:
    return f"{what} ({other})" if other else what


def _refusals(results: Results) -> Iterator[Verdict]:
    for door in DOORS:
        for kind in (Kind.BARE, Kind.DEAD):
            # Twice as many a second is half the cost.
            found = ratio(results, (door, Kind.PASS), (door, kind))
            is_met = found is not None and found < 0.5
            yield Verdict(f"{door}: cost of {kind} / a pass", "< 0.5", found, is_met)


def _memory(memories: dict[str, Memory]) -> Iterator[Verdict]:
    facts: list[tuple[str, int, int, str, Callable[[Memory], float]]] = [
        ("an idle connection", IDLE_BYTES, 1024, "KB", lambda one: one.idle),
        (
            "download of 100 MB",
            BULK_GROWTH_BYTES,
            2**20,
            "MB",
            lambda one: one.download,
        ),
        ("upload of 100 MB", BULK_GROWTH_BYTES, 2**20, "MB", lambda one: one.upload),
    ]
    for door in DOORS:
        for what, bound, size, unit, fact in facts:
            found = fact(memories[door]) if door in memories else None
            is_met = found is not None and found <= bound
            shown = None if found is None else found / size
            target = f"≤ {bound / size:g} {unit}"
            yield Verdict(f"{door}: growth by {what}", target, shown, is_met, unit)
