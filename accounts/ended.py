"""What became of a session that is no more, for whoever holds its key.

The key is the proof: nobody without it can ask, and the answer names no one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from django.conf import settings
from django.utils import timezone

from accounts import keys
from accounts.audit import Event
from accounts.models import AuditEntry, Revocation


class Kind(StrEnum):
    """The ends that people are told of, each in words of its own."""

    KILLED = "killed"
    RIGHTS = "rights"
    CUT_OFF = "cut-off"
    PROVIDER = "provider"
    LIMIT = "limit"
    BY_SELF = "by-self"
    SIGNED_OUT = "signed-out"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Ended:
    """How and when; `reference` is what a security admin can look it up by."""

    kind: Kind
    at: datetime | None
    reference: str


_KINDS = {
    Event.KILLED: Kind.KILLED,
    Event.LOGGED_OUT_BY_PROVIDER: Kind.PROVIDER,
    Event.RENEWAL_REFUSED: Kind.PROVIDER,
    Event.LIMIT_REACHED: Kind.LIMIT,
    Event.ENDED: Kind.BY_SELF,
    Event.SIGNED_OUT: Kind.SIGNED_OUT,
    Event.REPLACED: Kind.SIGNED_OUT,
    Event.EXPIRED: Kind.EXPIRED,
}
# Who ends sessions without being a person.
_NOBODY = frozenset({"system", "provider"})


def story_of(session_key: str) -> Ended | None:
    """How the session of this key ended; None when nothing is known of it.

    Two or three look-ups by an indexed column.
    """
    ids = keys.session_ids(session_key)
    entries = AuditEntry.objects.filter(session_id__in=ids)
    end = entries.filter(event__in=list(_KINDS)).order_by("-pk").first()
    if end is not None:
        return Ended(_kind_of(end), end.at, str(end.pk))
    kill = Revocation.objects.filter(
        kind=Revocation.Kind.SESSION, target__in=ids
    ).first()
    if kill is not None:
        # Decided while the store was away, and not yet told as done.
        return Ended(Kind.KILLED, kill.written, ids[0])
    began = entries.filter(event__in=[Event.SIGNED_IN, Event.STEPPED_UP]).first()
    return _without_entry(began, ids[0]) if began else None


def _kind_of(entry: AuditEntry) -> Kind:
    kind = _KINDS[Event(entry.event)]
    return Kind.RIGHTS if kind is Kind.KILLED and entry.actor in _NOBODY else kind


def cut_off_after(began: datetime) -> AuditEntry | None:
    """The entry of the end of everyone that ended a session which began then.

    That is, if it was live: what expires unused leaves no entry before the cut-off.
    """
    latest = began + timedelta(seconds=settings.SESSION_ABSOLUTE_SECONDS)
    found = AuditEntry.objects.filter(
        event=Event.CUT_OFF, at__gte=began, at__lte=min(latest, timezone.now())
    )
    # The first one: the next found it ended.
    return found.order_by("pk").first()


def _without_entry(began: AuditEntry, session_id: str) -> Ended:
    """A cut-off ends by one entry for all; an expiry may have none."""
    cut_off = cut_off_after(began.at)
    if cut_off is not None:
        return Ended(Kind.CUT_OFF, cut_off.at, str(cut_off.pk))
    return Ended(Kind.EXPIRED, None, session_id)
