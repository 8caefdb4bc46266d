"""What a subject's processes cost, from /proc; nothing where there is no /proc."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")
TICK = os.sysconf("SC_CLK_TCK")


def family(roots: Iterable[int]) -> list[int]:
    """These processes and all that descend from them."""
    children: dict[int, list[int]] = {}
    for pid, fields in _all():
        children.setdefault(int(fields[1]), []).append(pid)
    found, todo = [], list(roots)
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children.get(pid, [])
    return found


def cpu_seconds(roots: Iterable[int]) -> float:
    """Processor time so far, of those that have ended as well."""
    wanted = set(family(roots))
    # utime, stime, and the same of children that were waited for: see proc(5).
    ticks = sum(
        sum(int(field) for field in fields[11:15])
        for pid, fields in _all()
        if pid in wanted
    )
    return ticks / TICK


def memory(roots: Iterable[int]) -> int:
    """Bytes resident; a page that two processes share counts half in each."""
    return sum(_proportional(pid) for pid in family(roots))


def _proportional(pid: int) -> int:
    with suppress(OSError):
        for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def _all() -> Iterable[tuple[int, list[str]]]:
    if not PROC.is_dir():
        return
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                # The name in brackets may hold blanks; what follows it may not.
                rest = (folder / "stat").read_text().rpartition(")")[2]
                yield int(folder.name), rest.split()
