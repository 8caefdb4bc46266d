from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping, Sequence

from benchmarks.proxy import parts
from benchmarks.proxy.ground import JSON_BYTES, THREADS, WORKERS
from benchmarks.proxy.load import CONNECTIONS
from benchmarks.proxy.memory import Memory
from benchmarks.proxy.rounds import Kind, Results
from benchmarks.proxy.subjects.subject import Subject
from benchmarks.proxy.targets import Verdict
from benchmarks.report import machine, table

MEGABYTE = 2**20


def circumstances(rounds: int, seconds: int, load: float) -> str:
    """Where, when and how; `load` is the machine's load average before the start."""
    return "\n".join(
        [
            "## Doors and peers",
            "",
            f"- {machine()}; load average {load:.1f} before the start: above 1 it had"
            " other work,\n  which makes every ratio rougher than its digits look",
            f"- Python {platform.python_version()}, Node {_version('node', '-v')},"
            f" {_version('nginx', '-v')}; the store is Valkey on loopback TCP,"
            " with its append-only file",
            f"- wrk with {CONNECTIONS} connections for {seconds} s, {rounds} rounds in"
            f" turn; the upstream is nginx with {JSON_BYTES} bytes of JSON",
            f"- everything on the same cores, wrk too; {WORKERS} processes for each"
            f" subject, and {THREADS} threads in each process of the Python ones",
            "- medians of the rounds, lowest and highest behind them; CPU is the"
            " subject's own processes, in µs a request",
            "- h3 with its forwarding by hand on undici is no peer of the targets, but"
            " what Node can do at most",
        ]
    )


def left_out(reasons: Mapping[str, str]) -> str:
    """A line for each subject that could not take part."""
    lines = [f"- left out: {title}: {why}" for title, why in reasons.items()]
    return "\n".join(lines) or "- nothing was left out"


def speed(subjects: Sequence[Subject], results: Results) -> str:
    rows = [
        _speed_row(subject, kind, results)
        for subject in subjects
        for kind in Kind
        if results.has(subject.name, kind)
    ]
    heads = ["subject", "requests/s", "lowest–highest", "p50 ms", "p99 ms"]
    heads += ["lowest–highest", "CPU µs"]
    return table(heads, rows)


def _speed_row(subject: Subject, kind: Kind, results: Results) -> list[str]:
    name = subject.name
    rates = results.values(name, "rate", kind)
    slowest = results.values(name, "p99", kind)
    return [
        subject.title if kind is Kind.PASS else f"{subject.name}: {kind}",
        f"{results.middle(name, 'rate', kind):,.0f}",
        f"{min(rates):,.0f}–{max(rates):,.0f}",
        f"{results.middle(name, 'p50', kind):.1f}",
        f"{results.middle(name, 'p99', kind):.1f}",
        f"{min(slowest):.1f}–{max(slowest):.1f}",
        f"{results.middle(name, 'cpu', kind):.0f}",
    ]


def verdicts(found: Sequence[Verdict]) -> str:
    rows = [[each.what, each.target, _shown(each), _word(each)] for each in found]
    return "### Targets\n\n" + table(["what", "target", "found", ""], rows)


def _shown(verdict: Verdict) -> str:
    if verdict.found is None:
        return "–"
    return f"{verdict.found:.2f} {verdict.unit}".strip()


def _word(verdict: Verdict) -> str:
    if verdict.found is None:
        return "not measured"
    return "met" if verdict.is_met else "**missed**"


def memory(found: Mapping[str, Memory]) -> str:
    rows = [
        [
            door,
            f"{one.rest / MEGABYTE:.0f} MB",
            f"{one.idle / 1024:.1f} KB",
            f"{one.download / MEGABYTE:.1f} MB",
            f"{one.upload / MEGABYTE:.1f} MB",
        ]
        for door, one in found.items()
    ]
    heads = [
        "door",
        "after the load",
        "per idle connection",
        "100 MB down",
        "100 MB up",
    ]
    return "### Memory of the doors\n\n" + table(heads, rows)


def _version(name: str, option: str) -> str:
    program = parts.program(name)
    if program is None:
        return "none"
    done = subprocess.run(
        [program, option], capture_output=True, text=True, check=False
    )
    return (done.stdout + done.stderr).rpartition(":")[2].strip()
