"""Refusals worth an entry in the audit, and not one for each time.

Whoever has a live session can be refused a thousand times a second, and a stranger can
send as many forged logout tokens, or start sign-ins and cancel them. The table keeps
entries for good, so each kind is entered once in REMEMBERED_SECONDS; every single one
is in the log.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from accounts import audit, keys
from accounts.profile import StaffProfile
from accounts.sessions.connections import answering, client
from accounts.sessions.errors import SessionStoreError

REMEMBERED_SECONDS = 600


def refused_call(
    session: Mapping[str, Any],
    session_id: str,
    word: str,
    address: str,
    **details: Any,
) -> None:
    """Enters the refusal of a call that came with this live session. Never raises."""
    if not is_first(session_id, word):
        return
    profile = StaffProfile.from_session(session)
    name = profile.username if profile else ""
    audit.record(
        audit.Event.CALL_REFUSED,
        later=True,
        actor=name,
        subject=name,
        session_id=session_id,
        address=address,
        reason=word,
        details=details,
    )


def refused_logout(because: str, about: str) -> None:
    """Enters a logout token that proves nothing. Never raises."""
    if is_first("logout", because):
        audit.record(
            audit.Event.LOGOUT_REFUSED,
            later=True,
            actor="provider",
            reason=because,
            details={"about": about},
        )


def is_first(*names: str) -> bool:
    """Whether a refusal so named is the first in REMEMBERED_SECONDS. Never raises."""
    try:
        with answering():
            name = keys.noted(*names)
            return bool(client().set(name, b"", nx=True, ex=REMEMBERED_SECONDS))
    except SessionStoreError:
        return False
