"""What a kill leaves behind for whoever is just writing a session.

A kill cannot find a session that is on its way into the store, and that one cannot see
the kill. So every kill leaves a mark for a while, and whoever writes a new session
looks for one afterwards.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from redis.exceptions import OutOfMemoryError

from accounts import keys
from accounts.models import Revocation
from accounts.sessions import clock, cutoff
from accounts.sessions.questions import answers
from accounts.sessions.record import Record

log = logging.getLogger(__name__)
# How long a sign-in or a rotation can take at the very most, and then some.
IN_FLIGHT_SECONDS = 600


def leave(store: Any, rows: Sequence[Revocation]) -> None:
    """Leaves word of these kills, before they are carried out."""
    pipeline = store.pipeline(transaction=False)
    for row in rows:
        if row.kind == Revocation.Kind.SESSION:
            pipeline.set(keys.tombstone(row.target), b"", ex=IN_FLIGHT_SECONDS)
        elif row.kind in Revocation.NAMED:
            for name in row.targets():
                mark = cutoff.mark(row.before.timestamp())
                pipeline.set(keys.mark(name), mark, ex=IN_FLIGHT_SECONDS)
    try:
        answers(pipeline)
    except OutOfMemoryError:
        # A full store takes no marks, but no new sessions either.
        log.warning("marks_not_left because=out-of-memory")


def is_killed_meanwhile(
    store: Any, record: Record, since: float, moved_from: str | None
) -> bool:
    """Whether a kill was carried out while this session was on its way.

    A person may come back after a kill, hence `since`, when the sign-in started; a
    session of the provider that has ended never does.
    """
    pipeline = store.pipeline(transaction=False)
    pipeline.get(keys.mark(record.person or ""))
    pipeline.exists(keys.tombstone(moved_from or record.id))
    if record.origin:
        pipeline.exists(keys.mark(record.origin))
    mark, *are_gone = answers(pipeline)
    is_person_killed = int(mark or 0) > clock.milliseconds(since)
    return is_person_killed or any(are_gone)
