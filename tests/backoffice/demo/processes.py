"""What the tests of real processes share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from backoffice.demo.children import wait_until

REPOSITORY = Path(__file__).resolve().parents[3]
PATIENCE = 30.0


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
    status = Path(f"/proc/{pid}/stat")
    if Path("/proc/self").exists():
        try:
            return status.read_text().rpartition(")")[2].split()[0] != "Z"
        except (FileNotFoundError, ProcessLookupError):
            return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def is_gone(*pids: int) -> bool:
    """Whether all of them end within our patience."""
    return wait_until(lambda: not any(map(is_running, pids)), PATIENCE)
