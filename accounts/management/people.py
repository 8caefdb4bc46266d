from __future__ import annotations

import logging

from django.db import DatabaseError

from accounts.models import User
from accounts.profile import StaffProfile
from accounts.sessions import search
from accounts.sessions.connections import answering, client
from accounts.sessions.selection import Selection

log = logging.getLogger(__name__)

BATCH = 500
People = dict[tuple[str, str], str]


def named(name: str) -> People:
    """Whoever has this user name, e-mail address or `sub`: who they are, in words.

    Without SQL, from the sessions that they have; raises SessionStoreError then.
    """
    try:
        return {
            (user.issuer, user.sub): f"{user.name} ({user.username})"
            for user in User.objects.named(name)
        }
    except DatabaseError as error:
        log.warning("people_not_read error=%s", type(error).__name__)
        return _in_the_store(name)


def _in_the_store(name: str) -> People:
    """Opens every session there is, which takes seconds, for an hour without SQL."""
    found: People = {}
    with answering():
        ids = sorted(search.matching(client(), Selection()))
        for start in range(0, len(ids), BATCH):
            for session in search.seen(client(), ids[start : start + BATCH]):
                person = session.profile
                if _is_named(person, name):
                    words = f"{person.name} ({person.username})"
                    found[person.issuer, person.sub] = words
    return found


def _is_named(person: StaffProfile, name: str) -> bool:
    known = {person.username.casefold(), person.email.casefold()}
    return name.casefold() in known or name == person.sub
