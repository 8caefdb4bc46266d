"""Entries for other programs: one JSON object a line, or CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from io import StringIO
from typing import Any

from accounts.audit_models import AuditEntry

FETCHED_AT_ONCE = 2000
FIELDS = (
    "sequence",
    "at",
    "event",
    "actor",
    "subject",
    "session_id",
    "address",
    "reason",
    "details",
    "request_id",
    "reference",
    "previous",
    "hash",
    "key",
    "seal",
)
# What a spreadsheet takes for the start of a formula, also in its full-width forms.
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")


class Form(StrEnum):
    JSON_LINES = "jsonl"
    CSV = "csv"


@dataclass(frozen=True, slots=True, kw_only=True)
class Extract:
    """Which entries; every field narrows."""

    since: datetime | None = None
    until: datetime | None = None
    events: tuple[str, ...] = ()
    subject: str = ""
    actor: str = ""
    session_id: str = ""

    def entries(self) -> Iterator[AuditEntry]:
        """From the oldest to the newest, a few at a time however many there are."""
        wanted = {
            "at__gte": self.since,
            "at__lt": self.until,
            "event__in": self.events,
            "subject": self.subject,
            "actor": self.actor,
            "session_id": self.session_id,
        }
        found = AuditEntry.objects.filter(
            **{name: value for name, value in wanted.items() if value}
        )
        return found.order_by("pk").iterator(chunk_size=FETCHED_AT_ONCE)


def lines(entries: Iterator[AuditEntry], form: Form) -> Iterator[str]:
    """Each with its line end; CSV begins with the names of its columns."""
    if form is Form.JSON_LINES:
        for entry in entries:
            yield json.dumps(content(entry), ensure_ascii=False) + "\n"
        return
    yield _row(FIELDS)
    for entry in entries:
        plain = content(entry)
        details = json.dumps(plain["details"], ensure_ascii=False, sort_keys=True)
        plain["details"] = details if plain["details"] else ""
        yield _row(tuple(_cell(plain[name]) for name in FIELDS))


def content(entry: AuditEntry) -> dict[str, Any]:
    """One entry as plain values: time in UTC, everything that its hash is made of."""
    found = {name: getattr(entry, name) for name in FIELDS if name != "sequence"}
    return {
        "sequence": entry.pk,
        **found,
        "at": entry.at.isoformat(timespec="microseconds"),
        "reference": entry.reference.hex,
    }


def _cell(value: object) -> str:
    """A cell that no spreadsheet runs (CWE-1236)."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text


def _row(cells: tuple[str, ...]) -> str:
    line = StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue()
