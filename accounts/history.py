"""What the audit tells of one person or one session, the newest first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from django.db.models import QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from accounts import places
from accounts.audit import ENDS, Event
from accounts.browser import device
from accounts.models import AuditEntry
from accounts.profile import SESSION_KEY, StaffProfile

SIGN_INS_SHOWN = 10
SIGN_INS_LOOKED_AT = 50
TIMELINE_SHOWN = 200
MOVES_FOLLOWED = 20

WORDS: dict[str, str | Promise] = {
    Event.SIGNED_IN: pgettext_lazy("event", "Signed in"),
    Event.NEW_DEVICE: _("A device that is new"),
    Event.DEVICE_DENIED: _("New device denied by its person"),
    Event.SIGN_IN_REFUSED: _("Sign-in refused"),
    Event.LIMIT_REACHED: _("Ended: too many sessions"),
    Event.RENEWED: _("Rights renewed by the provider"),
    Event.RENEWAL_REFUSED: _("Rights no longer confirmed"),
    Event.STEPPED_UP: _("Proved who they are again"),
    Event.STEP_UP_REFUSED: _("A fresh sign-in was refused"),
    Event.ADDRESS_CHANGED: _("Used from another network"),
    Event.AGENT_CHANGED: _("Used with another device"),
    Event.SIGNED_OUT: _("Signed out"),
    Event.REPLACED: _("Replaced by a new sign-in"),
    Event.ENDED: _("Ended by the person"),
    Event.KILLED: _("Ended by a security admin"),
    Event.EXPIRED: _("Expired"),
    Event.LOGGED_OUT_BY_PROVIDER: _("Signed out by the provider"),
    Event.CALL_REFUSED: _("Call refused"),
    Event.BULK_KILLED: _("Many ended by a security admin"),
    Event.LOGOUT_REFUSED: _("Logout by the provider refused"),
    Event.RIGHTS_CHANGED: _("Rights changed"),
    Event.SUSPENDED: _("Suspended"),
    Event.RESTORED: _("Suspension lifted"),
    Event.STORE_LOST: _("Session store lost"),
    Event.STORE_BACK: _("Session store back"),
    Event.PURGED: _("Session store tidied"),
    Event.REPAIRED: _("Session store repaired"),
    Event.AUDIT_EXPORTED: _("Audit exported"),
    Event.AUDIT_TRIMMED: _("Audit trimmed"),
    Event.CUT_OFF: _("Everyone ended by a security admin"),
}
SIGN_INS = (Event.SIGNED_IN, Event.SIGN_IN_REFUSED, Event.LIMIT_REACHED)
# What deserves a second look.
FLAGS = (
    Event.NEW_DEVICE,
    Event.DEVICE_DENIED,
    Event.SIGN_IN_REFUSED,
    Event.RENEWAL_REFUSED,
    Event.STEP_UP_REFUSED,
    Event.ADDRESS_CHANGED,
    Event.AGENT_CHANGED,
    Event.CALL_REFUSED,
)


@dataclass(frozen=True, slots=True)
class Moment:
    """One thing that happened, in words."""

    number: int
    at: datetime
    event: str
    words: str
    by: str
    address: str
    place: str
    device: str
    reason: str
    groups: str
    is_flag: bool
    is_end: bool

    @classmethod
    def of(cls, entry: AuditEntry) -> Moment:
        details = entry.details if isinstance(entry.details, dict) else {}
        address = entry.address or ""
        return cls(
            number=entry.pk,
            at=entry.at,
            event=entry.event,
            words=words(entry.event),
            by="" if entry.actor == entry.subject else entry.actor,
            address=address,
            place=str(places.in_words(address)),
            device=device(str(details.get("agent", ""))),
            reason=entry.reason,
            groups=_groups(details),
            is_flag=entry.event in FLAGS,
            is_end=entry.event in ENDS,
        )


def sign_ins_of(person: StaffProfile, provider: str) -> list[Moment]:
    """The person's last sign-ins through this provider, and those it refused.

    Entries are found by user name, which two providers may give to two people. So a
    sign-in must name this very person, and a refusal this provider.
    """
    found = AuditEntry.objects.filter(subject=person.username, event__in=SIGN_INS)
    recent = found.order_by("-pk")[:SIGN_INS_LOOKED_AT]
    own = (Moment.of(each) for each in recent if _is_about(each, person, provider))
    return list(islice(own, SIGN_INS_SHOWN))


def _is_about(entry: AuditEntry, person: StaffProfile, provider: str) -> bool:
    details = entry.details if isinstance(entry.details, dict) else {}
    if entry.event == Event.SIGNED_IN:
        told = details.get(SESSION_KEY) or {}
        return (told.get("issuer"), told.get("sub")) == (person.issuer, person.sub)
    return entry.event != Event.SIGN_IN_REFUSED or details.get("provider") == provider


def _groups(details: dict[str, Any]) -> str:
    """The groups that a renewal gave and took, as in "+support −finance"."""
    signs = {"+": "groups_won", "−": "groups_lost"}
    return " ".join(
        f"{sign}{name}" for sign, key in signs.items() for name in details.get(key, ())
    )


def of_session(session_id: str) -> list[Moment]:
    """Everything recorded of one session, also when it is no more."""
    found = entries_of_session(session_id)[:TIMELINE_SHOWN]
    return [Moment.of(entry) for entry in found]


def entries_of_session(session_id: str) -> QuerySet[AuditEntry]:
    """The same, as it was entered.

    A fresh sign-in moves a session to a new key, and so to a new id; what was recorded
    under the earlier ones belongs to it.
    """
    ids = [session_id]
    while len(ids) < MOVES_FOLLOWED:
        moved = AuditEntry.objects.filter(session_id=ids[-1], event=Event.STEPPED_UP)
        details = moved.values_list("details", flat=True).last()
        before = details.get("before") if isinstance(details, dict) else None
        if not before or before in ids:
            break
        ids.append(before)
    return AuditEntry.objects.filter(session_id__in=ids).order_by("-pk")


def words(event: str) -> str:
    """An event as people call it."""
    return str(WORDS.get(event, event))
