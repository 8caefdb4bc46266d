"""The audit of kills that took effect after they were decided.

While the store was away a kill could name no session; what it ends now gets the entry
that it would have had. Kept in this process until `audit_copy.settle`, since a replay
is no time to write: the store is not believed yet, and everybody waits for it.
"""

from __future__ import annotations

from collections.abc import Sequence

from accounts import audit
from accounts.audit import writing
from accounts.models import Revocation
from accounts.profile import StaffProfile
from accounts.sessions.record import Record


def remember(ended: Sequence[Record], rows: Sequence[Revocation]) -> None:
    """Keeps an entry for each session that these kills have ended just now."""
    if not ended:
        return
    kills: dict[str | None, Revocation] = {}
    for row in rows:
        if row.kind == Revocation.Kind.LEFT:
            # It had its entry at the time.
            continue
        is_one = row.kind == Revocation.Kind.SESSION
        names = row.targets() if row.kind in Revocation.NAMED else [row.target]
        kills |= dict.fromkeys([row.target] if is_one else names, row)
    for record in ended:
        kill = kills.get(record.id) or kills.get(record.person)
        kill = kill or kills.get(record.origin)
        if kill is not None:
            writing.waiting.append(_entry(record, kill))


def _entry(record: Record, kill: Revocation) -> audit.Entry:
    profile = StaffProfile.from_session(record.data)
    is_logout = "channel logout" in kill.reason
    return audit.Entry.of(
        audit.Event.LOGGED_OUT_BY_PROVIDER if is_logout else audit.Event.KILLED,
        actor=kill.by,
        subject=profile.username if profile else "",
        session_id=record.id,
        reason=kill.reason,
        details={"decided": kill.before.isoformat(timespec="seconds")},
    )
