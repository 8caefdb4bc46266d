from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import requests

from benchmarks import report
from benchmarks.proxy import memory, parts, rounds, tables, targets
from benchmarks.proxy.ground import Ground
from benchmarks.proxy.memory import Memory
from benchmarks.proxy.subjects import SUBJECTS
from benchmarks.proxy.subjects.subject import StartError, Subject

SECONDS = 5
ROUNDS = 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report; 1 when what every run needs is missing."""
    options = _options(arguments)
    if lacking := parts.missing("wrk", "nginx"):
        sys.stderr.write(f"The proxy benchmark needs wrk and nginx: {lacking}\n")
        return 1
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        text = _measured(Path(folder), options)
    print(text)
    if options.write:
        report.write("proxy", text)
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    names = [subject.name for subject in SUBJECTS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.proxy")
    parser.add_argument("--seconds", type=int, default=SECONDS, help="of one burst")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument(
        "--only",
        type=lambda text: text.split(","),
        default=names,
        help=f"with commas, of {', '.join(names)}",
    )
    parser.add_argument(
        "--no-write", dest="write", action="store_false", help="leave README.md alone"
    )
    options = parser.parse_args(arguments)
    if unknown := set(options.only) - set(names):
        parser.error(f"no such subject: {', '.join(sorted(unknown))}")
    return options


def _measured(folder: Path, options: argparse.Namespace) -> str:
    chosen = [each for each in SUBJECTS if each.name in options.only]
    left_out: dict[str, str] = {}
    load = os.getloadavg()[0]
    with ExitStack() as closing:
        ground = closing.enter_context(Ground(folder))
        subjects = _started(chosen, ground, closing, left_out)
        results = rounds.measure(subjects, options.rounds, options.seconds, _say)
        memories = _memories(subjects, left_out)
    return "\n\n".join(
        [
            tables.circumstances(options.rounds, options.seconds, load),
            tables.left_out(left_out),
            tables.speed(subjects, results),
            tables.verdicts(targets.verdicts(results, memories)),
            tables.memory(memories),
        ]
    )


def _started(
    chosen: Sequence[type[Subject]],
    ground: Ground,
    closing: ExitStack,
    left_out: dict[str, str],
) -> list[Subject]:
    """Those that could be started and answer rightly; why not goes into `left_out`."""
    running = []
    for kind in chosen:
        _say(f"starting {kind.title}")
        if why := kind.missing():
            left_out[kind.title] = why
            continue
        subject = kind(ground)
        closing.callback(subject.stop)
        try:
            subject.start()
            subject.check()
        except (StartError, requests.RequestException) as error:
            left_out[kind.title] = str(error)
        else:
            running.append(subject)
    return running


def _memories(
    subjects: Sequence[Subject], left_out: dict[str, str]
) -> dict[str, Memory]:
    found = {}
    for door in (each for each in subjects if each.is_door):
        _say(f"memory of {door.title}")
        try:
            found[door.name] = memory.measure(door)
        except (StartError, OSError) as error:
            left_out[f"memory of {door.title}"] = str(error)
    return found


def _say(what: str) -> None:
    print(f"… {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
