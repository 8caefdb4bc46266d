"""Time for limits: seconds since the epoch, and never backwards.

A host clock that is set back would lengthen the life of every session. Within a
process the clock therefore runs on at the pace of the monotonic clock instead.
"""

from __future__ import annotations

import threading
import time


class _Clock:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Starts anew, as a new process does."""
        self._last = 0.0
        self._anchor()

    def _anchor(self) -> None:
        self._wall, self._steady = time.time(), time.monotonic()

    def now(self) -> float:
        with self._lock:
            wall = time.time()
            expected = self._wall + time.monotonic() - self._steady
            # Small corrections by NTP are not a jump; follow them. Time stands still
            # for so long: what began must not be later than the kill that follows.
            if wall < expected - 1:
                wall = expected
            else:
                self._anchor()
            self._last = max(self._last, wall)
            return self._last


_clock = _Clock()
now = _clock.now
reset = _clock.reset


def whole_milliseconds(seconds: float) -> float:
    """The moment as the store can keep it: never later than it was."""
    return milliseconds(seconds) / 1000


def milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
