"""The picture in numbers: counted in SQL, and never by reading sessions.

How many are live now the store knows. How many were, no audit can tell exactly (what
expires unseen leaves no entry), so the number is noted now and then (`note_live`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from django.db.models import CharField, Count, F, QuerySet
from django.db.models.fields.json import KT
from django.db.models.functions import Cast, Substr
from django.utils import timezone

from accounts import history
from accounts.audit import ENDS, Event
from accounts.browser import device
from accounts.models import AuditEntry, LiveSample
from accounts.sessions import live
from accounts.sessions.errors import SessionStoreError

SAMPLE_EVERY = timedelta(minutes=10)
SAMPLES_KEPT = timedelta(days=35)
TOP = 10
SIGN_INS = {Event.SIGNED_IN: "done", Event.SIGN_IN_REFUSED: "refused"}
HOUR = timedelta(hours=1)
_noted: datetime | None = None


@dataclass(frozen=True, slots=True)
class Hour:
    """Sign-ins that began in this hour."""

    at: datetime
    done: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Share:
    """One of the things counted, in words; `query` finds the live ones of it."""

    words: str
    number: int
    query: str = ""


def note_live_now_and_then() -> None:
    """As `note_live`, from beside other work: at most once in SAMPLE_EVERY."""
    global _noted
    slot = _slot(timezone.now())
    if _noted == slot:
        return
    _noted = slot
    try:
        note_live()
    except SessionStoreError:
        return


def note_live() -> int:
    """How many are live now, noted once in SAMPLE_EVERY. Raises SessionStoreError."""
    number, now = live.count(), timezone.now()
    slot = _slot(now)
    _, is_new = LiveSample.objects.get_or_create(at=slot, defaults={"live": number})
    if is_new:
        LiveSample.objects.filter(at__lt=now - SAMPLES_KEPT).delete()
    return number


def live_since(since: datetime) -> list[tuple[datetime, int]]:
    """Moment and number of everything noted since."""
    return list(LiveSample.objects.filter(at__gte=since).values_list("at", "live"))


def sign_ins_by_hour(since: datetime) -> list[Hour]:
    """Every hour since, also those in which nobody came."""
    first = since.replace(minute=0, second=0, microsecond=0)
    # The first 13 characters of a moment are its hour in UTC, in both databases; to
    # truncate by Django's own function is Python code for every row in SQLite.
    rows = (
        _since(first, SIGN_INS)
        .annotate(hour=Substr(Cast("at", CharField()), 1, 13))
        .order_by("hour")
        .values_list("hour", "event")
        .annotate(n=Count("pk"))
    )
    counted = {
        hour: {SIGN_INS[Event(event)]: n for _, event, n in found}
        for hour, found in groupby(rows, key=lambda row: row[0])
    }
    hours = int((timezone.now() - first) / HOUR) + 1
    moments = [first + n * HOUR for n in range(hours)]
    return [Hour(at, **counted.get(f"{at:%Y-%m-%d %H}", {})) for at in moments]


def ends_by_kind(since: datetime) -> list[Share]:
    """The ends since, the most frequent kind first."""
    found = _counted(_since(since, (*ENDS, Event.CUT_OFF)), "event")
    return [Share(history.words(event), n) for event, n in found]


def top_addresses(since: datetime) -> list[Share]:
    """Where most sign-ins came from, those that were refused included."""
    entries = _since(since, SIGN_INS).exclude(address=None)
    return [
        Share(at, n, f"network={at}") for at, n in _counted(entries, "address")[:TOP]
    ]


def top_devices(since: datetime) -> list[Share]:
    """What most sign-ins were made with."""
    entries = _since(since, [Event.SIGNED_IN]).annotate(agent=KT("details__agent"))
    found: dict[str, int] = {}
    for agent, number in _counted(entries, "agent"):
        words = device(agent or "")
        if words:
            found[words] = found.get(words, 0) + number
    in_order = sorted(found.items(), key=lambda pair: -pair[1])[:TOP]
    return [Share(words, n) for words, n in in_order]


def _slot(now: datetime) -> datetime:
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return now - (now - midnight) % SAMPLE_EVERY


def _since(since: datetime, events: Iterable[Event]) -> QuerySet[AuditEntry]:
    names = [event.value for event in events]
    return AuditEntry.objects.filter(at__gte=since, event__in=names).order_by()


def _counted(
    entries: QuerySet[AuditEntry], name: str
) -> QuerySet[AuditEntry, tuple[str, int]]:
    return entries.values_list(F(name)).annotate(n=Count("pk")).order_by("-n", name)
