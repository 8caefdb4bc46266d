"""How many sessions one person may have open (SESSIONS_PER_PERSON).

Counted after the new session is written and listed. Of several sign-ins in the same
moment each therefore sees all the others, and all agree on who is one too many, since
they put them in one order; ending a session twice is no error.
"""

from __future__ import annotations

from django.conf import settings

from accounts import audit
from accounts.profile import StaffProfile
from accounts.sessions import live

REASON = "limit of sessions per person"


class LimitReached(Exception):
    """The person has as many sessions as they may have."""


def keep(person: StaffProfile, session_id: str) -> None:
    """Ends the person's oldest sessions beyond the limit.

    Where the newest shall be refused instead, raises LimitReached if that is the one
    just begun; the caller ends it. Raises SessionStoreError.
    """
    if settings.SESSIONS_PER_PERSON == 0:
        return
    found = live.of_person(person.issuer, person.sub)
    in_order = [each.id for each in sorted(found, key=lambda one: (one.began, one.id))]
    if settings.SESSIONS_PER_PERSON_POLICY == "newest-refused":
        # One that began a moment later may have been let in before this was listed.
        doomed = in_order[settings.SESSIONS_PER_PERSON :]
        if session_id in doomed:
            raise LimitReached
    else:
        doomed = in_order[: -settings.SESSIONS_PER_PERSON]
    live.end(doomed, by=person.username, reason=REASON, event=audit.Event.LIMIT_REACHED)
