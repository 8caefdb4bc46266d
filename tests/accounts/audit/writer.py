"""One process that writes entries, as the processes of a site do; started by tests.

Arguments: a name, how many entries, how many of them at once, and how many days ago.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta

import django

django.setup()

from accounts import audit  # noqa: E402


def main(name: str, number: int, at_once: int, days: int) -> None:
    moment = datetime.now(UTC) - timedelta(days=days)
    for start in range(0, number, at_once):
        numbers = range(start, min(start + at_once, number))
        audit.record_all(
            [
                audit.Entry.of(audit.Event.KILLED, actor=name, reason=str(n), at=moment)
                for n in numbers
            ]
        )


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
