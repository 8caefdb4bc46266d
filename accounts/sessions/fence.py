"""Keeps a store that forgot from bringing the dead back.

A restart from an older file, a failover to a replica that lagged and a restored
backup can all return sessions that were killed. What they share is a new identity:
the server's run id. Each new connection is asked for it. When it is not the one last
fenced, the ledger of kills is replayed before anything is believed that the store
says; when the ledger cannot be read, the store is not believed at all.

An outage lowers the fence as well, even when the same store comes back: a kill that was
decided while it was away is in the ledger only.

The question is asked once per connection. A request on an open connection pays for
one comparison in memory and nothing on the wire.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from accounts.sessions.deadline import DeadlineParser
from accounts.sessions.errors import StoreNotFenced
from accounts.sockets import set_patience

log = logging.getLogger(__name__)

_lock, _replaying = threading.Lock(), threading.Lock()
_seen: dict[str, str] = {}
_fenced: dict[str, str] = {}
_outages = _outages_fenced = _failures = 0


def inspect(connection: Any) -> None:
    """redis-py's hook for a new connection: greet the server, note its run id.

    A server that will not say who it is cannot be fenced, so that is a failure to
    connect. The connection is closed then: were it to go back to the pool open, the
    next request would use it unasked.

    All that is said before the first question shares one time-out: greeting, password
    and number of a slow store would each have their own, and a person waits for all.
    """
    # A Cluster's connections have a parser of their own, and Python's time-outs.
    parser = connection._parser
    hurry = parser.hurry if isinstance(parser, DeadlineParser) else None
    try:
        if hurry:
            hurry(connection.socket_timeout)
        connection.on_connect()
        facts = _ask_who(connection)
        _seen[_place(connection, facts)] = facts["run_id"]
        if hurry:
            hurry(None)
            set_patience(connection._sock, connection.socket_timeout)
    except BaseException:
        connection.disconnect()
        raise


def _ask_who(connection: Any) -> dict[str, str]:
    connection.send_command("INFO", "server")
    try:
        answer = connection.read_response(disable_decoding=True)
    except ResponseError as error:
        raise RedisConnectionError("the store does not say its run id") from error
    text = answer.decode(errors="replace") if isinstance(answer, bytes) else ""
    lines = (line.partition(":") for line in text.splitlines())
    facts = {name: value for name, _, value in lines if value}
    if "run_id" not in facts:
        raise RedisConnectionError("the store does not say its run id")
    return facts


def _place(connection: Any, facts: dict[str, str]) -> str:
    # In a Cluster each node is a store of its own. Elsewhere there is one store,
    # wherever it is today: going back to an earlier primary is a change too.
    if facts.get("redis_mode") == "cluster" or facts.get("server_mode") == "cluster":
        return f"{connection.host}:{connection.port}"
    return "store"


def stands() -> bool:
    """Whether the ledger was replayed since the last new identity and outage."""
    return _seen == _fenced and _outages == _outages_fenced


def lower() -> None:
    """Notes an outage: before the store is believed again, the ledger is replayed."""
    global _outages
    with _lock:
        _outages += 1


def raise_with(replay: Callable[[], None], patience: float) -> None:
    """Runs `replay` once for everything seen so far, whichever thread is first.

    The others wait for it, `patience` seconds at most, and share its failure: were each
    to try in its turn, the last one would wait for all of them. What `replay` raises
    leaves the fence down; the next caller tries again. Raises StoreNotFenced.
    """
    global _failures, _outages_fenced
    failures = _failures
    if not _replaying.acquire(timeout=patience):
        raise StoreNotFenced("replaying")
    try:
        seen, outages = dict(_seen), _outages
        if stands():
            return
        if failures != _failures:
            raise StoreNotFenced("replay-failed")
        _failures += 1
        replay()
        _failures -= 1
        _fenced.clear()
        _fenced.update(seen)
        _outages_fenced = outages
        log.info("store_fenced stores=%d", len(seen))
    finally:
        _replaying.release()


def identity() -> str:
    """The run id of the one store that was fenced last; "" in a Cluster."""
    return _fenced.get("store", "")


def forget() -> None:
    """Starts anew, as a new process does."""
    global _outages, _outages_fenced
    _seen.clear()
    _fenced.clear()
    _outages = _outages_fenced = 0
