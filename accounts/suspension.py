"""People who may not sign in, until that is lifted or its time has come.

The race with a sign-in. A suspension first commits its row, then ends the person's
sessions. A sign-in first writes its session, then reads the rows, and only then gives
the browser its cookie. If it does not see the row, it read before the commit, so its
session was written before the kill looked and is ended by it. No clock takes part.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from accounts import audit
from accounts.models import Suspension, User
from accounts.profile import StaffProfile
from accounts.sessions import live
from accounts.sessions.errors import SessionStoreError
from accounts.sessions.live import Outcome

log = logging.getLogger(__name__)


class Suspended(Exception):
    """The person is suspended; what was about to begin for them must not."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody to suspend: by `sub`, or by `email` for who has never signed in.

    `name` is what lists and the audit call them.
    """

    issuer: str
    sub: str = ""
    email: str = ""
    name: str = ""

    @classmethod
    def of(cls, user: User) -> Person:
        return cls(user.issuer, user.sub, name=user.username)

    @property
    def label(self) -> str:
        return self.name or self.email or self.sub


def current(issuer: str, sub: str, email: str = "") -> Suspension | None:
    """The suspension in effect for this person; None when there is none.

    Raises DatabaseError: who cannot be looked up must not be let in.
    """
    return Suspension.objects.of_person(issuer, sub, email).in_effect().first()


def check(person: StaffProfile) -> None:
    """Raises Suspended for who is. Call it after the session was written.

    An e-mail address counts here whether or not it was verified: to refuse too much
    can be put right, to let in who was put out cannot.
    """
    if current(person.issuer, person.sub, person.email):
        raise Suspended


def learn(person: StaffProfile) -> None:
    """Stores who the person is with a suspension that knows their e-mail alone.

    Only for an address that the provider has verified: whoever merely types it in must
    not take the suspension away from its owner.
    """
    rows = Suspension.objects.of_person(person.issuer, person.sub, person.email)
    found = rows.in_effect().filter(sub="").update(sub=person.sub, name=person.username)
    if found:
        log.info("suspension_found_its_person suspensions=%d", found)


def suspend(
    person: Person, *, by: str, reason: str, until: datetime | None = None
) -> Outcome:
    """Keeps a person out and ends all they have open.

    The suspension stands exactly if the outcome is `durable`; `incomplete` says that a
    session of theirs is live all the same. Raises SessionStoreError or DatabaseError
    when nothing was done.
    """
    row = Suspension(
        issuer=person.issuer,
        sub=person.sub,
        email="" if person.sub else person.email.lower(),
        name=person.label,
        reason=reason,
        by=by,
        until=until,
    )
    if person.sub:
        outcome = live.end_subject(
            person.issuer, person.sub, by=by, reason=reason, along=[row]
        )
        _end_survivors(row, person.sub, outcome)
    else:
        outcome = _suspend_by_email(row)
    if outcome.durable:
        _record(audit.Event.SUSPENDED, row, by, reason, ended=len(outcome.ended))
    return outcome


def _suspend_by_email(row: Suspension) -> Outcome:
    """Ends what accounts with this address have open, verified there or not.

    After the commit: a sign-in makes its account before it looks for suspensions.
    """
    with transaction.atomic():
        row.save(force_insert=True)
    outcome = Outcome()
    for user in User.objects.filter(issuer=row.issuer, email__iexact=row.email):
        _add(outcome, live.end_person(user, by=row.by, reason=row.reason))
        _end_survivors(row, user.sub, outcome)
    return outcome


def _end_survivors(row: Suspension, sub: str, outcome: Outcome) -> None:
    """Ends what is listed after the kill, and tells if that did not help.

    A session that a sign-in has just written ends itself when it looks for the row; it
    is ended here all the same, so that nothing listed outlives the report.
    """
    if outcome.pending:
        return
    try:
        if left := _listed(row.issuer, sub):
            _add(outcome, live.end(sorted(left), by=row.by, reason=row.reason))
            outcome.incomplete |= bool(left & _listed(row.issuer, sub))
    except SessionStoreError:
        # The kill is done; whether it caught everything cannot be told now.
        outcome.incomplete = True


def _listed(issuer: str, sub: str) -> set[str]:
    return {session.id for session in live.of_person(issuer, sub)}


def _add(outcome: Outcome, more: Outcome) -> None:
    """Takes in a further kill; `durable` goes on speaking of the suspension."""
    outcome.ended += more.ended
    outcome.records += more.records
    outcome.pending |= more.pending
    outcome.incomplete |= more.incomplete or not more.durable


def lift(person: Person, *, by: str, reason: str) -> int:
    """Ends every suspension in effect of this person; tells how many there were.

    Raises DatabaseError.
    """
    rows = Suspension.objects.of_person(person.issuer, person.sub, person.email)
    lifted = 0
    for row in rows.in_effect():
        # Of two who lift the same one, one is told that they did.
        is_ours = Suspension.objects.filter(pk=row.pk, lifted_at=None).update(
            lifted_at=timezone.now(), lifted_by=by, lifted_reason=reason
        )
        if is_ours:
            lifted += 1
            _record(audit.Event.RESTORED, row, by, reason)
    return lifted


def note_over() -> int:
    """Records the suspensions whose time has come; tells how many.

    They are over without it. Raises DatabaseError.
    """
    noted = 0
    for row in Suspension.objects.over():
        if Suspension.objects.filter(pk=row.pk, lifted_at=None).update(
            lifted_at=row.until
        ):
            noted += 1
            _record(audit.Event.RESTORED, row, "system", "its time has come")
    return noted


def _record(
    event: audit.Event, row: Suspension, by: str, reason: str, **facts: object
) -> None:
    details = {
        "suspension": row.pk,
        "issuer": row.issuer,
        "sub": row.sub,
        "email": row.email,
        "until": row.until.isoformat() if row.until else None,
        **facts,
    }
    audit.record(event, actor=by, subject=row.name, reason=reason, details=details)
