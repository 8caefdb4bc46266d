"""Time for limits and revocations: seconds since the epoch, by the store's clock.

Hosts differ: one that is a minute fast would end the sessions of people who sign in
through another one, and one that is slow would miss those that it should end. So every
process follows the clock of the store, which each of them asks twice a second anyway
(`fence.confirm`). Until the store has told its time, the host's own clock is taken.

The clock never goes back. A clock that is set back would lengthen the life of every
session, so within a process time then runs on at the pace of the monotonic clock.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass

log = logging.getLogger(__name__)

# Small corrections by NTP are followed, with time standing still for so long. More than
# that is a jump.
JUMP_SECONDS = 1.0
# A host that differs by more is told of in the log: its sign-ins may fail, since ID
# tokens are judged by its own clock.
SKEW_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Reading:
    """The store's clock, read between two moments of the monotonic one; in seconds."""

    moment: float
    asked: float
    answered: float


class _Clock:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Starts anew, as a new process does."""
        self._last = 0.0
        # The store's clock minus the monotonic one; None until it is known.
        self._offset: float | None = None
        self._is_set_back = False
        self._told = 0.0
        self._anchor()

    def now(self) -> float:
        """Now, in seconds since the epoch."""
        with self._lock:
            if self._offset is None:
                moment = self._host_time()
            else:
                moment = time.monotonic() + self._offset
            self._last = max(self._last, moment)
            return self._last

    def follow(self, reading: Reading) -> None:
        """Follows the store's clock, from this reading on."""
        earliest = reading.moment - reading.answered
        latest = reading.moment - reading.asked
        with self._lock:
            known = (earliest + latest) / 2 if self._offset is None else self._offset
            was_set_back, self._is_set_back = (
                self._is_set_back,
                known > latest + JUMP_SECONDS,
            )
            if not self._is_set_back:
                self._offset = min(max(known, earliest), latest)
            elif not was_set_back:
                log.warning("store_clock_set_back seconds=%.1f", known - latest)
            self._tell(time.time() - time.monotonic() - (earliest + latest) / 2)

    def skew(self) -> float | None:
        """How far the host's clock is ahead of the store's; None while that is unknown.

        In seconds.
        """
        with self._lock:
            if self._offset is None:
                return None
            return time.time() - time.monotonic() - self._offset

    def _tell(self, skew: float) -> None:
        if abs(skew) <= SKEW_SECONDS:
            self._told = 0.0
        elif abs(skew - self._told) > SKEW_SECONDS:
            log.warning("clock_skew seconds=%.1f", skew)
            self._told = skew

    def _host_time(self) -> float:
        wall = time.time()
        expected = self._wall + time.monotonic() - self._steady
        # What began must not be later than the kill that follows.
        if wall < expected - JUMP_SECONDS:
            return expected
        self._anchor()
        return wall

    def _anchor(self) -> None:
        self._wall, self._steady = time.time(), time.monotonic()


_clock = _Clock()
now = _clock.now
follow = _clock.follow
skew = _clock.skew
reset = _clock.reset


def whole_milliseconds(seconds: float) -> float:
    """The moment as the store can keep it: never later than it was."""
    return milliseconds(seconds) / 1000


def milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
