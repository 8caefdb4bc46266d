"""Ends a thousand sessions through changes of primary, and counts what passes after.

Prints one table; fails when a request that was sent after a success passed anywhere.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import astuple, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

from tests.distributed.changes import CHANGES, CLUSTER_CHANGES
from tests.distributed.machines import (
    Machines,
    Person,
    Watch,
    running_cluster,
    running_set,
)
from tests.waiting import wait_until

KILLS = 1000
VICTIMS = 10
ENOUGH = 20


@dataclass
class Tally:
    """`acknowledged`: kills that reported success; `pending`: those to come true later.

    `requests`: sent after the success of the kill that they are subject to; `passed`:
    of these the ones that were let through. `slowest`: of all kills, in seconds.
    """

    acknowledged: int = 0
    pending: int = 0
    failed: int = 0
    requests: int = 0
    passed: int = 0
    slowest: float = 0.0


def attack(
    machines: Machines,
    change: Callable[[Person], AbstractContextManager[None]],
    tally: Tally,
) -> None:
    """One change, after which sessions are ended one by one."""
    victims = [machines.person() for _ in range(VICTIMS)]
    with ExitStack() as stack:
        watches = [
            stack.enter_context(Watch(victim, threads=1).watching())
            for victim in victims
        ]
        with change(victims[0]):
            ended = [_kill(machines, victim, tally) for victim in victims]
        for watch, done in zip(watches, ended, strict=True):
            if done is None:
                continue
            assert wait_until(lambda w=watch, d=done: len(w.sent_after(d)) >= ENOUGH)
            found = watch.sent_after(done)
            tally.requests += len(found)
            tally.passed += found.count(200)


def _kill(machines: Machines, victim: Person, tally: Tally) -> float | None:
    """Ends this session; when that was acknowledged, or None."""
    began = time.monotonic()
    code = machines.kill(victim).returncode
    done = time.monotonic()
    tally.slowest = max(tally.slowest, done - began)
    tally.acknowledged += code == 0
    tally.pending += code == 3
    tally.failed += code not in {0, 3}
    return done if code == 0 else None


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.distributed")
    parser.add_argument("--kills", type=int, default=KILLS, help="acknowledged ones")
    wanted = parser.parse_args().kills
    tallies: dict[str, Tally] = {}
    with tempfile.TemporaryDirectory(prefix="distributed-") as folder:
        _on_a_set(Path(folder) / "set", wanted, tallies)
        _on_a_cluster(Path(folder) / "cluster", wanted, tallies)
    _print(tallies)
    return 1 if any(each.passed or each.failed for each in tallies.values()) else 0


def _on_a_set(folder: Path, wanted: int, tallies: dict[str, Tally]) -> None:
    share = wanted * len(CHANGES) // (len(CHANGES) + len(CLUSTER_CHANGES))
    with running_set(folder) as machines:
        _rounds(machines, CHANGES, share, tallies, machines.wait_for_replica)


def _on_a_cluster(folder: Path, wanted: int, tallies: dict[str, Tally]) -> None:
    share = wanted - sum(each.acknowledged for each in tallies.values())
    with running_cluster(folder) as machines:
        _rounds(machines, CLUSTER_CHANGES, share, tallies, machines.wait_for_replicas)


def _rounds(
    machines: Machines,
    changes: Sequence[Callable[..., AbstractContextManager[None]]],
    kills: int,
    tallies: dict[str, Tally],
    settle: Callable[[], Any],
) -> None:
    """Each change in its turn, until so many kills were acknowledged."""
    ours = [tallies.setdefault(change.__name__, Tally()) for change in changes]
    is_cluster = changes is CLUSTER_CHANGES
    while sum(each.acknowledged for each in ours) < kills:
        for change, tally in zip(changes, ours, strict=True):
            settle()
            bound = partial(change, machines)
            attack(machines, bound if is_cluster else lambda _, b=bound: b(), tally)
            sys.stdout.write(f"{change.__name__}: {tally}\n")
            sys.stdout.flush()


def _print(tallies: dict[str, Tally]) -> None:
    names = [each.name for each in fields(Tally)]
    lines = [f"{'change':20}" + "".join(f"{name:>14}" for name in names)]
    for name, tally in tallies.items():
        numbers = "".join(f"{value:>14,.4g}" for value in astuple(tally))
        lines.append(f"{name:20}{numbers}")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
