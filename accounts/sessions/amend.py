"""Changes to a session by somebody who is not its browser.

They hold the id and not the key, and what they do is no use: the idle limit goes on
counting. As with every save, a session that was ended is not brought back, and of two
who write at once neither undoes the other.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from accounts import keys
from accounts.sessions import clock, values
from accounts.sessions.connections import answering, client
from accounts.sessions.errors import StoreUnavailable
from accounts.sessions.questions import ask
from accounts.sessions.record import Record
from accounts.sessions.store import MERGE_ATTEMPTS
from accounts.sessions.stored import (
    REPLACED,
    look_up,
    note_facts,
    sealed_value,
    swap,
)

Data = dict[str, Any]

# Whoever comes back late must not take away another one's turn.
_LEAVE = """
if redis.call('GET', KEYS[1]) == ARGV[2] then redis.call('DEL', KEYS[1]) end
return {ARGV[1]}
"""


def read(session_id: str) -> Record | None:
    """What is stored of a session that is live; None for any other.

    Raises SessionStoreError.
    """
    found = _read(session_id)
    return found[0] if found else None


def amend(session_id: str, change: Callable[[Data], Data]) -> Record | None:
    """Replaces the contents by what `change` makes of them; None when it has ended.

    `change` may be called again, with what somebody else wrote meanwhile. Raises
    SessionStoreError.
    """
    for _ in range(MERGE_ATTEMPTS):
        found = _read(session_id)
        if found is None:
            return None
        before, value = found
        record = before.with_data(change(dict(before.data)))
        outcome, _ = swap(record.name, value, sealed_value(record))
        if outcome == REPLACED:
            note_facts(before, record)
            return record
    raise StoreUnavailable("contended")


@contextmanager
def turn(session_id: str, seconds: int) -> Iterator[bool]:
    """Whether it is our turn with this session, among all processes.

    Nobody waits. A turn ends by itself after so many seconds, should its holder die.
    Raises SessionStoreError.
    """
    name, ours = keys.turn(session_id), secrets.token_bytes(16)
    with answering():
        is_ours = bool(client().set(name, ours, nx=True, ex=seconds))
    try:
        yield is_ours
    finally:
        if is_ours:
            _leave(name, ours)


def _leave(name: str, ours: bytes) -> None:
    try:
        with answering():
            ask(_LEAVE, [name], [ours])
    except StoreUnavailable:
        # It runs out by itself.
        return


def _read(session_id: str) -> tuple[Record, bytes] | None:
    value, expiry, cutoff = look_up(session_id)
    record = values.opened(session_id, value)
    if value is None or record is None:
        return None
    return (record, value) if record.is_live(expiry, cutoff, clock.now()) else None
