"""Decides whether the store may be believed at this moment.

Two things must hold, and a request that finds one of them missing is refused (503):

* The *lease*: within the last LEASE_SECONDS it was confirmed that this is the store to
  which everyone else writes (`primary.py`). It counts from when that was asked, on a
  clock that nobody sets. A process on the wrong side of a partition loses it.
* The *fence*: the revocation log was replayed into this store. A restart from an older
  file, a failover to a replica that lagged and a restored backup can all return
  sessions that were killed; what they share is another run id. An outage counts as one,
  even when the same store comes back: a kill that was decided meanwhile is in the log
  only.

Both are checked after the store's response, so that what is believed was true while it
was asked. A request pays for comparisons in memory and for nothing on the network.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from accounts.sessions import clock, primary
from accounts.sessions.clock import Reading
from accounts.sessions.deadline import DeadlineParser
from accounts.sessions.errors import StoreNotFenced
from accounts.sessions.primary import Identity
from accounts.sockets import set_patience

log = logging.getLogger(__name__)

LEASE_SECONDS = 2.0
# How often the primary may change while somebody waits for it.
MOST_CHANGES = 4

_lock, _replaying = threading.Lock(), threading.Lock()
_identity: Identity = frozenset()
_fenced: Identity = frozenset()
_expires = 0.0
_generation = 0
_outages = _outages_fenced = _failures = 0


def inspect(connection: Any) -> None:
    """redis-py's hook for a new connection: greet the server, note who it is.

    A server that will not say who it is cannot be fenced, so that is a failure to
    connect, and so is one that is no primary. The connection is closed then: were it to
    go back to the pool open, the next request would use it unasked.

    All that is said before the first command shares one time-out: greeting, password
    and number of a slow store would each have their own, and a person waits for all.
    """
    # A Cluster's connections have a parser of their own, and Python's time-outs.
    parser = connection._parser
    hurry = parser.hurry if isinstance(parser, DeadlineParser) else None
    try:
        if hurry:
            hurry(connection.socket_timeout)
        connection.on_connect()
        asked = time.monotonic()
        facts = _ask_who(connection)
        _note_identity(connection, facts)
        connection.reading = _reading(facts, asked)
        if hurry:
            hurry(None)
            set_patience(connection._sock, connection.socket_timeout)
    except BaseException:
        connection.disconnect()
        raise
    if connection.is_primary and not is_current(connection):
        doubt()


def _ask_who(connection: Any) -> dict[str, str]:
    connection.send_command("INFO", "server", "replication")
    try:
        reply = connection.read_response(disable_decoding=True)
    except ResponseError as error:
        raise RedisConnectionError("the store does not say its run id") from error
    text = reply.decode(errors="replace") if isinstance(reply, bytes) else ""
    lines = (line.partition(":") for line in text.splitlines())
    return {name: value for name, _, value in lines if value}


def _reading(facts: dict[str, str], asked: float) -> Reading | None:
    """The server's clock; None of a server that does not tell it."""
    answered, microseconds = time.monotonic(), facts.get("server_time_usec", "")
    if not microseconds.isdecimal():
        return None
    return Reading(int(microseconds) / 1e6, asked, answered)


def _note_identity(connection: Any, facts: dict[str, str]) -> None:
    if "run_id" not in facts:
        raise RedisConnectionError("the store does not say its run id")
    # A primary that was a replica meanwhile kept its run id, and took another history.
    connection.identity = f"{facts['run_id']}-{facts.get('master_replid', '')}"
    connection.is_primary = facts.get("role") == "master"
    is_in_cluster = "cluster" in (facts.get("redis_mode"), facts.get("server_mode"))
    # In a Cluster the replicas are asked, too, who the primaries are.
    if not connection.is_primary and not is_in_cluster:
        raise RedisConnectionError("the store is no primary")


def is_current(connection: Any) -> bool:
    """Whether this connection leads to the store that was confirmed last."""
    return not _identity or connection.identity in _identity


def stands() -> bool:
    """Whether the lease runs, and the log was replayed since all that happened."""
    return (
        time.monotonic() < _expires
        and _identity == _fenced
        and _outages == _outages_fenced
    )


def believes(server: str) -> bool:
    """Whether to believe what the server of this identity replied just now.

    "" stands for some primary of a Cluster.
    """
    return stands() and (not server or server in _fenced)


def generation() -> int:
    """Counts the changes of identity: what spans one may be from both stores."""
    return _generation


def lower() -> None:
    """Notes an outage: before the store is believed again, the log is replayed."""
    global _outages
    with _lock:
        _outages += 1


def doubt() -> None:
    """Ends the lease: something looks like another store than the confirmed one."""
    global _expires
    with _lock:
        _expires = 0.0


def confirm(store: Any) -> Identity:
    """Asks which store is the current one, renews the lease and follows its clock.

    Raises RedisError or OSError when it cannot be found out; the lease goes on running
    out then.
    """
    global _identity, _expires, _generation
    asked = time.monotonic()
    sighting = primary.identify(store)
    found = sighting.identity
    if sighting.reading:
        clock.follow(sighting.reading)
    with _lock:
        if found != _identity:
            _identity = found
            _generation += 1
        _expires = asked + LEASE_SECONDS
    return found


def raise_with(store: Any, replay: Callable[[], None], patience: float) -> None:
    """Renews the lease, and runs `replay` where the store has not seen all of the log.

    Whichever thread is first does it. The others wait for it, `patience` seconds at
    most, and share its failure: were each to try in its turn, the last one would wait
    for all of them. What is raised meanwhile leaves the fence down; the next caller
    tries again. Raises StoreNotFenced.
    """
    global _failures, _fenced, _outages_fenced
    failures = _failures
    if not _replaying.acquire(timeout=patience):
        raise StoreNotFenced("replaying")
    try:
        if stands():
            return
        if failures != _failures:
            raise StoreNotFenced("replay-failed")
        _failures += 1
        found, outages = confirm(store), _outages
        if found != _fenced or outages != _outages_fenced:
            replay()
            _fenced, _outages_fenced = found, outages
            log.info("store_fenced primaries=%d", len(found))
        _failures -= 1
    finally:
        _replaying.release()


def identity() -> Identity:
    """The identity of the store that was fenced last; empty before."""
    return _fenced


def name() -> str:
    """The identity of the store that was confirmed last, in 16 hex digits."""
    return hashlib.sha256(" ".join(sorted(_identity)).encode()).hexdigest()[:16]


def forget() -> None:
    """Starts anew, as a new process does."""
    global _outages, _outages_fenced, _identity, _fenced, _expires
    _identity = _fenced = frozenset()
    _expires = 0.0
    _outages = _outages_fenced = 0
