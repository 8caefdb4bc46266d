from __future__ import annotations

from datetime import datetime

from accounts import suspension
from accounts.sessions.live import Outcome
from accounts.sso import renewal_queue
from accounts.suspension import Person


def suspend(
    person: Person, *, by: str, reason: str, until: datetime | None = None
) -> Outcome:
    """As `suspension.suspend`, and has the refresh tokens revoked (RFC 7009).

    Those of the sessions that this ended: whoever ended others destroyed the only copy.
    The provider is told beside the caller; one that is away is not told again.
    """
    outcome = suspension.suspend(person, by=by, reason=reason, until=until)
    for record in outcome.records:
        renewal_queue.give_back(record)
    return outcome
