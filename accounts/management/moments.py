"""Spans and moments as people type them; for `type=` of argparse."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from datetime import datetime, timedelta

from django.utils import timezone

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_SPAN = re.compile(r"(?:\d{1,9}[smhdw])+", re.ASCII)
_PART = re.compile(r"(\d+)([smhdw])")
_LONGEST = timedelta(days=100 * 366)


def span(text: str) -> timedelta:
    """As in `90s`, `45m`, `2h`, `1d12h`, `4w`; more than nothing."""
    if not _SPAN.fullmatch(text.strip()):
        raise ArgumentTypeError(f"{text!r} is no span of time: write 45m, 2h or 1d12h")
    seconds = sum(int(n) * _UNITS[unit] for n, unit in _PART.findall(text))
    if not 0 < seconds <= _LONGEST.total_seconds():
        raise ArgumentTypeError(f"{text!r} is too short or too long")
    return timedelta(seconds=seconds)


def moment(text: str) -> datetime:
    """`2026-11-24`, `2026-11-24T09:30`, with or without an offset, or `2h ago`.

    Without an offset it is a time in TIME_ZONE, as the pages show it.
    """
    words = text.split()
    if len(words) == 2 and words[1] == "ago":
        return timezone.now() - span(words[0])
    try:
        found = datetime.fromisoformat(text.strip())
        return found if found.tzinfo else timezone.make_aware(found)
    except (ValueError, OverflowError):
        raise ArgumentTypeError(
            f"{text!r} is no moment: write 2026-11-24T09:30 or '2h ago'"
        ) from None


def later_moment(text: str) -> datetime:
    """A moment that is still to come: as `moment`, or a span from now, as in `8h`."""
    is_span = _SPAN.fullmatch(text.strip())
    found = timezone.now() + span(text) if is_span else moment(text)
    if found <= timezone.now():
        raise ArgumentTypeError(f"{text!r} is in the past")
    return found
