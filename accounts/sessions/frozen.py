"""Lists of sessions, kept in the store until it is decided what becomes of them.

What an admin was shown is what the admin decides about. A filter is no such thing:
until the form comes back other sessions may match it. So the ids themselves are kept,
sealed, for as long as the decision may take.

One hash for each list, next to the index, so that it has one slot in a Cluster. Written
and read in batches: no single command carries more than FIELDS_AT_ONCE of them.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from accounts import keys
from accounts.sessions import clock, seal
from accounts.sessions.connections import answering, client
from accounts.sessions.questions import answers
from accounts.sessions.seal import NotSealed

# Ids in one batch: 6 kB, and as many as one end carries out at a time.
BATCH = 500
FIELDS_AT_ONCE = 50
# 12 MB in the store.
AT_MOST = 1_000_000
_ID_BYTES = 12


class ListTooLong(ValueError):
    """More than AT_MOST sessions."""


class ListLost(LookupError):
    """The store has this list no more: it expired, or the store lost its memory."""


def freeze(session_ids: Sequence[str], seconds: float) -> str:
    """Keeps these ids for this long; gives the token by which they are read.

    Raises ListTooLong, and SessionStoreError.
    """
    if len(session_ids) > AT_MOST:
        raise ListTooLong(len(session_ids))
    token = secrets.token_hex(12)
    name, until = keys.frozen(token), clock.milliseconds(clock.now() + seconds)
    batches = [_seal(name, n, ids) for n, ids in enumerate(_batches(session_ids))]
    with answering():
        for first in range(0, len(batches), FIELDS_AT_ONCE):
            pipeline = client().pipeline(transaction=False)
            some = batches[first : first + FIELDS_AT_ONCE]
            pipeline.hset(name, mapping=dict(enumerate(some, first)))
            pipeline.pexpireat(name, until)
            answers(pipeline)
    return token


def read(token: str, number: int) -> list[str]:
    """The batch of this number, from 0. Raises ListLost, and SessionStoreError."""
    name = keys.frozen(token)
    with answering():
        sealed = client().hget(name, str(number))
    try:
        content = seal.unseal(name, sealed or b"")
    except NotSealed as error:
        raise ListLost from error
    if int.from_bytes(content[:4]) != number:
        # Somebody who writes to the store has moved it here from another batch.
        raise ListLost
    ids = content[4:]
    return [
        ids[start : start + _ID_BYTES].hex() for start in range(0, len(ids), _ID_BYTES)
    ]


def batch_count(total: int) -> int:
    """How many batches a list of this many ids has."""
    return -(-total // BATCH)


def keep(token: str, seconds: float) -> None:
    """Keeps a list this long from now on, if it is there. Raises SessionStoreError."""
    until = clock.milliseconds(clock.now() + seconds)
    with answering():
        client().pexpireat(keys.frozen(token), until)


def drop(token: str) -> None:
    """Removes a list. Raises SessionStoreError."""
    with answering():
        client().delete(keys.frozen(token))


def _batches(session_ids: Sequence[str]) -> list[Sequence[str]]:
    starts = range(0, len(session_ids), BATCH)
    return [session_ids[start : start + BATCH] for start in starts]


def _seal(name: str, number: int, session_ids: Sequence[str]) -> bytes:
    # With its number, so that no batch passes for another one.
    content = number.to_bytes(4) + bytes.fromhex("".join(session_ids))
    return seal.seal(name, content)
