"""One burst of requests from wrk, and what came back."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.proxy.parts import program

CONNECTIONS = 32
SCRIPT = Path(__file__).with_name("wrk.lua")
# A worker that is replaced drops its connections; more than this is a failure.
TOLERATED_ERRORS = 0.001


class LoadError(Exception):
    """The burst did not give the answers it was meant to give."""


@dataclass(frozen=True, slots=True)
class Burst:
    """Requests a second, latencies in milliseconds, door's CPU in µs a request."""

    rate: float
    p50: float
    p99: float
    cpu: float = 0.0


@dataclass(frozen=True, slots=True)
class Count:
    """What wrk counted: `refused` are answers from 400 on, times in µs."""

    requests: int
    duration: int
    refused: int
    errors: int
    p50: float
    p99: float


def burst(url: str, cookie: str | Path, seconds: int, refusals: bool = False) -> Count:
    """Keeps CONNECTIONS busy for so long; every answer must be good, or a refusal.

    `cookie`: of all requests, or a file of many, which take turns. Raises LoadError
    otherwise.
    """
    count = _run(url, cookie, seconds)
    wrong = count.requests - count.refused if refusals else count.refused
    if count.requests == 0 or wrong:
        raise LoadError(f"{url}: {wrong} of {count.requests} answers were wrong")
    if count.errors > max(CONNECTIONS, count.requests * TOLERATED_ERRORS):
        raise LoadError(f"{url}: {count.errors} connections failed")
    return count


def _run(url: str, cookie: str | Path, seconds: int) -> Count:
    options = ["-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "10s"]
    more: list[str] = []
    if isinstance(cookie, Path):
        more = ["--", str(cookie)]
    elif cookie:
        options += ["-H", f"Cookie: {cookie}"]
    command = [str(program("wrk")), *options, "-s", str(SCRIPT), url, *more]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    line = next((each for each in text.splitlines() if each.startswith("RESULT")), "")
    if not line:
        raise LoadError(f"wrk said:\n{text}")
    requests, duration, refused, errors, p50, p99 = map(int, line.split()[1:])
    return Count(requests, duration, refused, errors, p50, p99)
