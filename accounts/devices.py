"""The devices people sign in with, so that they hear of one they do not know.

Kept as words ("Chrome, Windows"), not as fingerprints, and forgotten when they have
not been used for DEVICE_MEMORY_DAYS.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import DatabaseError
from django.db.models import QuerySet
from django.utils import timezone

from accounts import audit
from accounts.browser import Browser, kind_of_device
from accounts.models import AuditEntry, SeenDevice, User
from accounts.sessions import change, live
from accounts.sessions.live import Outcome
from accounts.sessions.store import SessionStore

log = logging.getLogger(__name__)

# How often a sign-in may come between the end of a device's sessions and its removal.
ATTEMPTS = 5
DENIED_REASON = "new device denied by the person"


def remember(user: User, browser: Browser, session_id: str) -> None:
    """Notes the device of a sign-in; if the person has never used it, says so.

    Their very first device is no news.
    """
    if not (settings.REMEMBER_DEVICE and settings.DEVICE_MEMORY_DAYS and browser.agent):
        return
    now = timezone.now()
    since = now - timedelta(days=settings.DEVICE_MEMORY_DAYS)
    SeenDevice.objects.filter(user=user, last_seen__lt=since).delete()
    is_first = not SeenDevice.objects.filter(user=user).exists()
    _, is_new = SeenDevice.objects.update_or_create(
        user=user,
        kind=_kind(browser.agent),
        defaults={"last_seen": now},
        create_defaults={
            "last_seen": now,
            "address": browser.address or None,
            "session_id": session_id,
            "is_answered": is_first,
        },
    )
    if is_new and not is_first:
        audit.record(
            audit.Event.NEW_DEVICE,
            actor=user.username,
            subject=user.username,
            session_id=session_id,
            address=browser.address or None,
            details={"agent": browser.agent},
        )


def kinds_of(session: SessionStore, present: Browser) -> frozenset[str]:
    """Every kind of device that this session was used with, the present one too."""
    if session.record is None:
        return frozenset()
    browsers = (*_browsers_in(session.record.data), present)
    return frozenset(_kind(each.agent) for each in browsers) - {""}


def unanswered(user: User, kinds: frozenset[str]) -> QuerySet[SeenDevice]:
    """The new devices that a session used with these kinds of device is asked about.

    Never about a device that the session itself is on: a thief who has signed in twice
    must not be the one to say that all is well.
    """
    found = SeenDevice.objects.filter(user=user, is_answered=False)
    return found.exclude(kind__in=kinds) if kinds else found.none()


def may_confirm(user: User, kinds: frozenset[str]) -> bool:
    """Whether a session used with these kinds of device may say that it was them.

    Only from devices that are known already. Two new ones, which may be one thief under
    two names, cannot vouch for each other.
    """
    known = SeenDevice.objects.filter(user=user, is_answered=True, kind__in=kinds)
    return bool(kinds) and known.count() == len(kinds)


def confirm(user: User, pk: int, kinds: frozenset[str]) -> None:
    """The person knows this device. Somebody else's, and no device, change nothing."""
    if may_confirm(user, kinds):
        unanswered(user, kinds).filter(pk=pk).update(is_answered=True)


def settle_denials(user: User) -> int:
    """Forgets the devices that were denied while SQL was away; tells how many.

    The audit entry, which waited in the store, tells of each. A device that has signed
    in since then stays: that is news.
    """
    forgotten = 0
    for device in SeenDevice.objects.filter(user=user, is_answered=False):
        denials = AuditEntry.objects.filter(
            session_id=device.session_id, event=audit.Event.DEVICE_DENIED
        )
        if denials.filter(at__gte=device.last_seen).exists():
            same = SeenDevice.objects.filter(pk=device.pk, last_seen=device.last_seen)
            forgotten += same.delete()[0]
    return forgotten


def deny(
    user: User, pk: int, kinds: frozenset[str], signed: str = ""
) -> Outcome | None:
    """Ends everything this person has open on a device that is not theirs.

    The device is forgotten, so that its next sign-in is news again. None when there is
    nothing to answer. Raises SessionStoreError; the notice stays then. While SQL cannot
    be read, `signed` says which device the notice was about; raises DatabaseError
    where it does not.
    """
    try:
        device = unanswered(user, kinds).filter(pk=pk).first()
    except DatabaseError:
        device = SeenDevice.from_signed(signed)
        if device is None or (device.pk, device.user_id) != (pk, user.pk):
            raise
        if device.kind in kinds:
            return None
    if device is None:
        return None
    outcome = _end_and_forget(user, device)
    audit.record(
        audit.Event.DEVICE_DENIED,
        # Where SQL just failed to take the kill, it is not asked a second time.
        later=not outcome.durable,
        actor=user.username,
        subject=user.username,
        session_id=device.session_id,
        address=device.address,
        details={"device": device.kind, "ended": len(outcome.ended)},
    )
    return outcome


def _end_and_forget(user: User, device: SeenDevice) -> Outcome:
    outcome = Outcome()
    for _ in range(ATTEMPTS):
        outcome.add(_end_sessions_on(user, device))
        if not outcome.durable:
            # `settle_denials` forgets it.
            break
        # A sign-in that came in between has moved `last_seen`; what it opened is ended,
        # too. One that comes later finds no row and is news.
        try:
            same = SeenDevice.objects.filter(pk=device.pk, last_seen=device.last_seen)
            if same.delete()[0]:
                break
            found = SeenDevice.objects.filter(pk=device.pk).first()
        except DatabaseError as error:
            log.warning("device_not_forgotten error=%s", type(error).__name__)
            break
        if found is None:
            break
        device = found
    return outcome


def _end_sessions_on(user: User, device: SeenDevice) -> Outcome:
    ids = [
        session.id
        for session in live.of_person(user.issuer, user.sub)
        if session.id == device.session_id or device.kind in _kinds_in(session)
    ]
    return live.end(
        ids, by=user.username, reason=DENIED_REASON, event=audit.Event.ENDED
    )


def _kinds_in(session: live.LiveSession) -> set[str]:
    agents = (session.agent, *(each.browser.agent for each in session.changes))
    return set(map(_kind, agents))


def _browsers_in(data: Mapping[str, Any]) -> Iterator[Browser]:
    yield change.began_in(data)
    for each in change.changes_in(data):
        yield each.browser


def _kind(agent: str) -> str:
    return kind_of_device(agent)[: SeenDevice.MAX_KIND]
