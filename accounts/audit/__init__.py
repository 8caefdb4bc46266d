"""Who signed in, who was ended, by whom and why: entered once, never changed.

Entries form a chain (chain.py). An entry that SQL cannot take is kept until it can
(writing.py), so that nothing decided goes unrecorded.
"""

from __future__ import annotations

from accounts.audit.entry import Entry
from accounts.audit.events import ENDS, Event
from accounts.audit.writing import append_missing, keep_with, record, record_all

__all__ = [
    "ENDS",
    "Entry",
    "Event",
    "append_missing",
    "keep_with",
    "record",
    "record_all",
]
