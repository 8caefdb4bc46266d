"""How commands end; the numbers are part of their contract (docs/operations.md)."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    DONE = 0
    FAILED = 1
    WRONG_USAGE = 2
    STORE_UNREACHABLE = 3
    # The same number where an end is recorded and takes effect later.
    PENDING = 3
    DONE_IN_PART = 4
