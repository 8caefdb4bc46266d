"""When the store was first missed by this process, and when it was believed again.

Only kept in mind here: it is told where there is time for it and the store takes writes
(audit_copy.report_outage).
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

from accounts.sessions import clock


@dataclass(frozen=True, slots=True)
class Outage:
    """Seconds since the epoch; `ended` is 0 while it lasts. The first cause, a word."""

    began: float
    cause: str
    ended: float = 0.0


_lock = threading.Lock()
_latest: Outage | None = None


def note(cause: str) -> None:
    """Notes a failure: an outage begins, or one that had ended was not over."""
    global _latest
    with _lock:
        found = _latest or Outage(clock.now(), cause)
        _latest = replace(found, ended=0.0)


def end() -> None:
    """Notes that the store is believed again."""
    global _latest
    with _lock:
        if _latest and not _latest.ended:
            _latest = replace(_latest, ended=clock.now())


def take() -> Outage | None:
    """The outage that is over; None when there is none. Gives each one once."""
    global _latest
    with _lock:
        if _latest is None or not _latest.ended:
            return None
        found, _latest = _latest, None
        return found


def forget() -> None:
    """Starts anew, as a new process does."""
    global _latest
    _latest = None
