"""What the tests of real processes share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.waiting import wait_until

REPOSITORY = Path(__file__).resolve().parents[3]
PATIENCE = 90.0


@contextmanager
def python(*arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process in the repository, killed at the end if it still runs."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def first_line(process: subprocess.Popen[str]) -> str:
    """The first line the process prints; waits for it."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def ends(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """The exit code and everything it printed."""
    out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out, err


def is_running(pid: int) -> bool:
    """Whether there is such a process; one that only waits to be buried is not."""
    return any(pid == each for each, _ in living())


def descendants(pid: int) -> list[int]:
    """The living processes below this one."""
    pairs = list(living())
    below = [child for child, parent in pairs if parent == pid]
    return below + [each for child in below for each in descendants(child)]


def living() -> Iterator[tuple[int, int]]:
    """Every process that is no zombie, with its parent."""
    for pid, parent, state in listed_by_the_kernel() or listed_by_ps():
        if not state.startswith("Z"):
            yield int(pid), int(parent)


def listed_by_the_kernel() -> list[tuple[str, str, str]]:
    """Linux only; slim systems have no ps."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            state, parent, *_ = status.read_text().rpartition(")")[2].split()
            found.append((status.parent.name, parent, state))
    return found


def listed_by_ps() -> list[tuple[str, str, str]]:
    command = ["ps", "-A", "-o", "pid=,ppid=,stat="]
    listed = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = (line.split() for line in listed.stdout.splitlines())
    return [(pid, parent, state) for pid, parent, state in lines]


def is_gone(*pids: int) -> bool:
    """Whether all of them end within our patience."""
    return wait_until(lambda: not any(map(is_running, pids)))
