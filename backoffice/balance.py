"""How many connections each process of the web server holds.

All of them listen on one socket, and whoever wakes first takes what is waiting: of 32
connections that come together one process may get all, and its threads queue for one
interpreter lock while another processor idles. So each tells the others how many it
has, and one that has more lets them go first.
"""

from __future__ import annotations

import mmap
import struct
import time

SLOTS = 64
# A process tells at least once a second; one that does not is gone, or hangs.
FRESH_SECONDS = 3.0
SECONDS_FOR_EACH = 0.0002
MOST_SECONDS = 0.002

_ENTRY = struct.Struct("dq")


class Board:
    """Shared by the processes that are forked after it was made.

    Written without a lock: each process has a slot of its own, and what is read half
    written makes somebody wait for 2 ms, or not.
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, SLOTS * _ENTRY.size)

    def tell(self, number: int, connections: int) -> None:
        """This process, the `number`th that was started, holds so many."""
        offset = number % SLOTS * _ENTRY.size
        _ENTRY.pack_into(self._memory, offset, time.monotonic(), connections)

    def patience(self, number: int, connections: int) -> float:
        """Seconds to wait before taking one more: who has fewer comes first."""
        now = time.monotonic()
        others = [
            held
            for slot, (told, held) in enumerate(_ENTRY.iter_unpack(self._memory))
            if slot != number % SLOTS and now - told < FRESH_SECONDS
        ]
        surplus = connections - min(others, default=connections)
        return min(max(surplus, 0) * SECONDS_FOR_EACH, MOST_SECONDS)
