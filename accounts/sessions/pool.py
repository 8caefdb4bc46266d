"""Pools whose connections lead to the current store, or to none.

After a change of primary the old one may go on answering on connections that are open.
They are found out when they are taken from the pool, before anything is sent on them.
"""

from __future__ import annotations

from queue import Empty
from typing import Any

from redis.connection import BlockingConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.sentinel import SentinelConnectionPool

from accounts import sockets
from accounts.sessions import fence


class Pool(BlockingConnectionPool):
    """One server's. Has a short way to a connection that is there and idle.

    redis-py's own way keeps telemetry of every loan, which takes as long as the loan.
    """

    def get_connection(self, *args: Any, **options: Any) -> Any:
        """As redis-py's, and only to the current store."""
        taken = super().get_connection(*args, **options)  # type: ignore[no-untyped-call]
        return _to_current(self, taken)

    def take(self) -> Any:
        """A connection to send on; raises as `get_connection` does."""
        self._checkpid()
        try:
            connection = self.pool.get(timeout=self.timeout)
        except Empty:
            raise RedisConnectionError("No connection available.") from None
        try:
            if connection and _is_quiet(connection) and fence.is_current(connection):
                return connection
        except BaseException:
            self.pool.put_nowait(connection)
            raise
        self.pool.put_nowait(connection)
        return self.get_connection()

    def give(self, connection: Any) -> None:
        """Takes it back."""
        if connection.pid == self.pid and not connection.should_reconnect():
            self.pool.put_nowait(connection)
        else:
            self.release(connection)  # type: ignore[no-untyped-call]


class SentinelPool(SentinelConnectionPool):
    """A Sentinel set's. It grows as it must: nobody waits for a connection."""

    def get_connection(self, *args: Any, **options: Any) -> Any:
        """As redis-py's, and only to the current store."""
        return _to_current(self, super().get_connection(*args, **options))


def _to_current(pool: Any, connection: Any) -> Any:
    if fence.is_current(connection):
        return connection
    try:
        connection.disconnect()
        connection.connect()
    except BaseException:
        pool.release(connection)
        raise
    return connection


def _is_quiet(connection: Any) -> bool:
    """Whether it is open, and no answer is left on it or already read from it."""
    sock = connection._sock
    if sock is None or connection._parser._reader.has_data():
        return False
    return sockets.is_quiet(sock)
