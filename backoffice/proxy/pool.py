"""The idle connections to one upstream, each with an owner, who alone may use it again.

A connection has no memory of whose bytes come over it. What an upstream sends too late,
or twice, reaches whoever is sent there next; so that is never somebody else, unless the
route says that everybody shares.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Hashable

from backoffice.proxy.connection import EVERYBODY, Connection

log = logging.getLogger("backoffice.proxy")

IDLE_CONNECTIONS = 32
# A page of ours asks a few things at once; more would only lie idle at the upstream.
PERSON_CONNECTIONS = 3
# Shorter than any server's keep-alive: a connection that is being closed while we
# send costs a 502, because nothing is ever sent twice.
IDLE_SECONDS = 1.5
# An upstream that was caught once gets a new connection for each request so long.
SUSPECT_SECONDS = 600


class Pool:
    """The one used last is taken first; the oldest makes room for a new one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # The oldest first.
        self._idle: list[Connection] = []
        self._suspect_until = 0.0

    def __len__(self) -> int:
        return len(self._idle)

    def take(self, owner: Hashable) -> Connection | None:
        """A connection of this owner that is open and silent, or None."""
        while (connection := self._pop(owner)) is not None:
            fresh = time.monotonic() - connection.used_at < IDLE_SECONDS
            if fresh and connection.is_quiet():
                return connection
            self._discard(connection)
        return None

    def put(self, connection: Connection) -> None:
        """Keeps the connection for its owner, as far as there is room."""
        connection.used_at = time.monotonic()
        with self._lock:
            self._idle.append(connection)
            surplus = self._surplus(connection)
        if surplus is not None:
            self._discard(surplus)

    def suspect(self, route: str) -> None:
        """Keeps no connection for SUSPECT_SECONDS: bytes came that no request caused.

        Says so once in that time, with the route, so that the operator finds it.
        """
        now = time.monotonic()
        with self._lock:
            if now < self._suspect_until:
                return
            self._suspect_until = now + SUSPECT_SECONDS
        log.warning("upstream_stray_bytes route=%s", route)
        self.close()

    def close_stale(self, now: float) -> None:
        """Closes what was last used IDLE_SECONDS before `now`."""
        with self._lock:
            stale = [each for each in self._idle if now - each.used_at >= IDLE_SECONDS]
            self._idle = [each for each in self._idle if each not in stale]
        for connection in stale:
            self._discard(connection)

    def close(self) -> None:
        """Closes what no request is using."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _pop(self, owner: Hashable) -> Connection | None:
        with self._lock:
            for index in range(len(self._idle) - 1, -1, -1):
                if self._idle[index].owner == owner:
                    return self._idle.pop(index)
        return None

    def _surplus(self, newest: Connection) -> Connection | None:
        """Takes out the one connection for which there is no room, if any."""
        if time.monotonic() < self._suspect_until:
            return self._idle.pop()
        if newest.owner != EVERYBODY:
            own = [each for each in self._idle if each.owner == newest.owner]
            if len(own) > PERSON_CONNECTIONS:
                self._idle.remove(own[0])
                return own[0]
        return self._idle.pop(0) if len(self._idle) > IDLE_CONNECTIONS else None

    def _discard(self, connection: Connection) -> None:
        if connection.has_stray_bytes():
            self.suspect(connection.route)
        connection.close()
