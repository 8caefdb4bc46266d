"""Ends that a person's own browser brings about: a sign-out, a key that was replaced.

They are meant as seriously as a kill: whoever signs out because their cookie was seen,
or gets a new key by a step-up, must not be undone by a store that falls back to what it
was a minute ago. So they stand in the ledger as well, under a kind of their own.

In the store they are done first. Were SQL asked first, a sign-out that the store then
refuses would be answered with 503 and done all the same.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import DatabaseError

from accounts.models import Revocation
from accounts.sessions import clock, ledger
from accounts.sessions.connections import answering, client
from accounts.sessions.errors import SessionStoreError
from accounts.sessions.record import CLOCK_LEEWAY_SECONDS, Record

log = logging.getLogger(__name__)


def note(ended: Iterable[Record]) -> None:
    """Enters these, which are out of the store by now, into the ledger.

    Never raises: while SQL is away they are held in the store, as kills are.
    """
    rows = [_row(record) for record in ended if record.person]
    if not rows:
        return
    try:
        ledger.write(rows)
    except DatabaseError as error:
        log.warning("departure_not_durable error=%s", type(error).__name__)
        _hold(rows)


def forget() -> int:
    """Removes what no store can undo any more; tells how many.

    Raises django.db.DatabaseError.
    """
    now = datetime.fromtimestamp(clock.now(), UTC)
    left = Revocation.objects.filter(kind=Revocation.Kind.LEFT, matters_until__lt=now)
    return left.delete()[0]


def _row(record: Record) -> Revocation:
    row = ledger.draft(Revocation.Kind.LEFT, record.id, by="", reason="")
    # Whatever copy comes back was last used before now, and its own expiry with it. It
    # may be one from before `set_expiry`, whose idle limit was the longer one.
    idle = max(record.idle, settings.SESSION_IDLE_SECONDS)
    life = timedelta(seconds=idle + CLOCK_LEEWAY_SECONDS)
    row.matters_until = row.before + life
    row.delivered = True
    return row


def _hold(rows: list[Revocation]) -> None:
    try:
        with answering():
            ledger.hold(client(), rows)
    except SessionStoreError:
        # Logged where it was met. The end itself is done.
        return
