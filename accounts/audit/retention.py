"""Lets old entries go and leaves an entry that stands for them.

That entry is the stub: how many went, from when to when, and the hash of the last one,
to which the first that stays is linked. It is written first; only then do the triggers
let go of what it stands for, so an interrupted run is finished by the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.db.models import Max, Min

from accounts.audit import verification
from accounts.audit.entry import Entry
from accounts.audit.events import Event
from accounts.audit.verification import Verdict
from accounts.audit.writing import append_missing
from accounts.audit_models import AuditEntry

BATCH = 5000


class ChainBroken(Exception):
    """What should go does not hold together: it is evidence, and stays."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(f"{verdict.faults} faults in what would be removed")
        self.verdict = verdict


@dataclass(frozen=True, slots=True)
class Span:
    """The entries that are older than a moment: numbers, and how many."""

    first: int = 0
    last: int = 0
    count: int = 0


def span_before(moment: datetime) -> Span:
    """What would go: from the start up to the first entry that is young enough."""
    stays = AuditEntry.objects.filter(at__gte=moment).aggregate(n=Min("pk"))["n"]
    old = AuditEntry.objects.filter(at__lt=moment)
    if stays is not None:
        old = old.filter(pk__lt=stays)
    found = old.aggregate(first=Min("pk"), last=Max("pk"))
    if found["last"] is None:
        return Span()
    return Span(found["first"], found["last"], old.count())


def trim(moment: datetime, *, by: str) -> Span:
    """Removes the entries from before this moment; tells which.

    Raises ChainBroken when they are not what was written, and DatabaseError.
    """
    _finish()
    span = span_before(moment)
    if span.count:
        details = _stub(span)
        entry = Entry.of(Event.AUDIT_TRIMMED, actor=by, details=details)
        append_missing([entry])
        _remove(span.first, span.last)
    return span


def _stub(span: Span) -> dict[str, Any]:
    earlier = verification.last_stub()
    verdict = Verdict(stub=earlier)
    for _ in verification.walk(verdict, until=span.last):
        pass
    if not verdict.holds:
        raise ChainBroken(verdict)
    gone = AuditEntry.objects.filter(pk__lte=span.last)
    times = gone.aggregate(first=Min("at"), last=Max("at"))
    return {
        "first": span.first,
        "last": span.last,
        "count": span.count,
        "first_at": times["first"].isoformat(),
        "last_at": times["last"].isoformat(),
        "hash": verdict.end.hash,
        "count_ever": span.count + (earlier["count_ever"] if earlier else 0),
    }


def _finish() -> None:
    stub = verification.last_stub()
    first = AuditEntry.objects.aggregate(n=Min("pk"))["n"]
    if stub and first is not None and first <= stub["last"]:
        _remove(first, stub["last"])


def _remove(first: int, last: int) -> None:
    for start in range(first, last + 1, BATCH):
        stop = min(start + BATCH - 1, last)
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                "DELETE FROM accounts_auditentry WHERE id BETWEEN %s AND %s",
                [start, stop],
            )
