"""What each `keepalive` of a route costs at each entrance, with many people at once.

`python -m benchmarks.proxy.keepalive`; with one person alone nobody would notice that
connections are not shared.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median

from backoffice.demo.staff import STAFF
from benchmarks import report
from benchmarks.proxy import load, parts, processes
from benchmarks.proxy.ground import Ground
from benchmarks.proxy.load import Burst
from benchmarks.proxy.site import SUB
from benchmarks.proxy.subjects.doors import Door1, Door2, Door3
from benchmarks.proxy.subjects.subject import Subject

PEOPLE, SECONDS, ROUNDS = 64, 4, 5
ENTRANCES: Mapping[str, type[Subject]] = {
    "embedded": Door1,
    "forward-auth": Door2,
    "nginx-lua": Door3,
}
ROUTES = {"shared": "bench", "person": "bench-person", "off": "bench-off"}
Found = dict[tuple[str, str], list[Burst]]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.proxy.keepalive")
    parser.add_argument("--seconds", type=int, default=SECONDS, help="of one burst")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--no-write", dest="write", action="store_false")
    options = parser.parse_args()
    if lacking := parts.missing("wrk", "nginx"):
        sys.stderr.write(f"The proxy benchmark needs wrk and nginx: {lacking}\n")
        return 1
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        found = _measured(Path(folder), options.rounds, options.seconds)
    text = _table(found, options.rounds, options.seconds, before)
    print(text)
    if options.write:
        report.write("proxy.keepalive", text)
    return 0


def _measured(folder: Path, rounds: int, seconds: int) -> Found:
    template = next(person for person in STAFF if person.sub == SUB)
    many = [
        replace(template, sub=f"many-{n}", username=f"many.{n}") for n in range(PEOPLE)
    ]
    found: Found = {}
    with ExitStack() as closing:
        ground = closing.enter_context(Ground(folder, [*STAFF, *many]))
        cookies = folder / "cookies"
        lines = [ground.site().cookie_of(person.sub) for person in many]
        cookies.write_text("".join(f"{line}\n" for line in lines))
        subjects = {name: kind(ground) for name, kind in ENTRANCES.items()}
        for subject in subjects.values():
            closing.callback(subject.stop)
            subject.start()
            subject.check()
        for number in range(1, rounds + 1):
            print(f"… round {number} of {rounds}", file=sys.stderr, flush=True)
            for name, subject in subjects.items():
                for keepalive, route in ROUTES.items():
                    url = f"{subject.origin}/api/proxy/{route}/"
                    one = _burst(subject, url, cookies, seconds)
                    found.setdefault((name, keepalive), []).append(one)
    return found


def _burst(subject: Subject, url: str, cookies: Path, seconds: int) -> Burst:
    before = processes.cpu_seconds(subject.pids)
    count = load.burst(url, cookies, seconds)
    spent = processes.cpu_seconds(subject.pids) - before
    return Burst(
        rate=count.requests / count.duration * 1e6,
        p50=count.p50 / 1000,
        p99=count.p99 / 1000,
        cpu=spent / count.requests * 1e6,
    )


def _table(found: Found, rounds: int, seconds: int, before: float) -> str:
    rows = []
    for (entrance, keepalive), bursts in found.items():
        rates = [each.rate for each in bursts]
        shared = [each.rate for each in found[entrance, "shared"]]
        # Of each round by itself: what else the machine does strikes both.
        ratio = median(one / other for one, other in zip(rates, shared, strict=True))
        rows.append(
            [
                entrance,
                keepalive,
                f"{median(rates):,.0f}",
                f"{min(rates):,.0f}–{max(rates):,.0f}",
                f"{ratio:.2f}",
                f"{median(each.p99 for each in bursts):.1f}",
                f"{median(each.cpu for each in bursts):.0f}",
            ]
        )
    heads = "entrance", "keepalive", "requests/s", "lowest–highest"
    more = "× shared", "p99 ms", "CPU µs"
    return "\n".join(
        [
            "## What `keepalive` costs",
            "",
            f"- {report.machine()}; load average {before:.1f} before the start",
            f"- {PEOPLE} people in turn on {load.CONNECTIONS} connections, {rounds}"
            f" rounds of {seconds} s; the upstream is nginx on loopback",
            "",
            report.table([*heads, *more], rows),
        ]
    )


if __name__ == "__main__":
    raise SystemExit(main())
