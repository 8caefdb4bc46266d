"""Enters the end of sessions that nobody ended: they ran into a limit.

Nothing happens at that moment, so it is noticed afterwards, by `purge_sessions`: a
sign-in on record whose session has no end on record and is not in the store any more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db.models import Exists, OuterRef

from accounts import audit, keys
from accounts.audit import ENDS, Event
from accounts.models import AuditEntry
from accounts.sessions import clock
from accounts.sessions.connections import answering
from accounts.sessions.kill import agreeing_store
from accounts.sessions.questions import answers

BATCH = 500
# How long the timer may have been off.
LOOK_BACK = timedelta(days=2)
BEGINNINGS = (Event.SIGNED_IN, Event.STEPPED_UP)


def enter_expired() -> int:
    """Enters them; tells how many. Raises DatabaseError and SessionStoreError."""
    begun = list(_begun_without_end())
    moved = _moved()
    entered = 0
    for start in range(0, len(begun), BATCH):
        batch = [each for each in begun[start : start + BATCH] if each[0] not in moved]
        gone = _gone([identifier for identifier, _, _ in batch])
        entries = [
            audit.Entry.of(
                Event.EXPIRED,
                actor="system",
                subject=subject,
                session_id=identifier,
                details={"began": began.isoformat(timespec="seconds")},
            )
            for identifier, subject, began in batch
            if identifier in gone
        ]
        audit.record_all(entries)
        entered += len(entries)
    return entered


def _begun_without_end() -> Iterator[tuple[str, str, datetime]]:
    now = datetime.fromtimestamp(clock.now(), UTC)
    earliest = now - timedelta(seconds=settings.SESSION_ABSOLUTE_SECONDS) - LOOK_BACK
    latest = now - timedelta(seconds=settings.SESSION_IDLE_SECONDS)
    # A cut-off is one entry for all that began before it.
    cut_off = AuditEntry.objects.filter(event=Event.CUT_OFF).first()
    if cut_off is not None:
        earliest = max(earliest, cut_off.at)
    ends = AuditEntry.objects.filter(
        session_id=OuterRef("session_id"), event__in=ENDS
    ).order_by()
    found = AuditEntry.objects.filter(
        ~Exists(ends), event__in=BEGINNINGS, at__range=(earliest, latest)
    ).exclude(session_id="")
    return (
        found.order_by("pk")
        .values_list("session_id", "subject", "at")
        .iterator(chunk_size=2000)
    )


def _moved() -> set[str]:
    """The ids of sessions that live on under another, since a step-up."""
    look_back = timedelta(seconds=settings.SESSION_ABSOLUTE_SECONDS) + LOOK_BACK
    moment = datetime.fromtimestamp(clock.now(), UTC) - look_back
    moves = AuditEntry.objects.filter(event=Event.STEPPED_UP, at__gte=moment)
    return {
        details["before"]
        for details in moves.values_list("details", flat=True)
        if "before" in details
    }


def _gone(ids: Sequence[str]) -> set[str]:
    with answering():
        pipeline = agreeing_store().pipeline(transaction=False)
        for identifier in ids:
            pipeline.exists(keys.value(identifier))
        found = answers(pipeline) if ids else []
    return {i for i, exists in zip(ids, found, strict=True) if not exists}
