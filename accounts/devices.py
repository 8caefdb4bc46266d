"""The devices people sign in with, so that they hear of one they do not know.

Kept as words ("Chrome, Windows"), not as fingerprints, and forgotten when they have
not been used for DEVICE_MEMORY_DAYS.
"""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from accounts import audit
from accounts.browser import Browser, kind_of_device
from accounts.models import SeenDevice, User


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
        kind=kind_of_device(browser.agent)[: SeenDevice.MAX_KIND],
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


def unanswered(user: User, session_id: str | None) -> QuerySet[SeenDevice]:
    """New devices of this person that nobody has answered for yet.

    Not to the session that made the news: whoever holds it must not be the one to
    say that all is well.
    """
    return SeenDevice.objects.filter(user=user, is_answered=False).exclude(
        session_id=session_id or ""
    )


def answer(user: User, pk: int, session_id: str | None) -> None:
    """The person knows this device. Somebody else's, and no device, change nothing."""
    unanswered(user, session_id).filter(pk=pk).update(is_answered=True)
