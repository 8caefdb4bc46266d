"""A time-out for a whole answer of the store, not for each of its bytes.

The client library waits anew after every piece that arrives. A store, or a network,
that lets one byte through now and then could hold a request for as long as it likes.
Here what is left of the time-out gets shorter with each piece, unless the piece was a
large one: an answer of megabytes may take as long as it keeps coming.
"""

from __future__ import annotations

import time
from typing import Any

from redis._parsers.hiredis import NOT_ENOUGH_DATA, _HiredisParser
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.utils import SENTINEL

from accounts.sockets import set_patience

LARGE_PIECE = 16 * 1024


class DeadlineParser(_HiredisParser):
    """redis-py's own parser of answers, with a deadline.

    Raises TimeoutError as that does. `hurry` makes several answers share one.
    """

    _shared: float | None = None
    _deadline: float | None = None

    def hurry(self, seconds: float | None) -> None:
        """From now on all answers together have so long; None: each its own again."""
        self._shared = None if seconds is None else time.monotonic() + seconds

    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        self._deadline = self._shared
        return super().read_response(*args, **kwargs)

    def read_each(self, count: int) -> list[Any]:
        """The next so many answers; raises the first that is an error."""
        self._deadline = self._shared
        found: list[Any] = []
        while len(found) < count:
            answer = self._reader.gets()
            if answer is NOT_ENOUGH_DATA:
                self.read_from_socket()
            elif isinstance(answer, Exception):
                raise answer
            else:
                found.append(answer)
        return found

    def read_from_socket(
        self, timeout: Any = SENTINEL, raise_on_timeout: bool = True
    ) -> bool:
        sock, reader, patience = self._sock, self._reader, self._socket_timeout
        if timeout is not SENTINEL or None in (sock, reader, patience):
            read = super().read_from_socket(timeout, raise_on_timeout)  # type: ignore[no-untyped-call]
            return bool(read)
        if self._deadline is None:
            # The first piece, and nearly always the last: the time-out that is set.
            self._deadline = time.monotonic() + patience
            try:
                count = sock.recv_into(self._buffer)
            except BlockingIOError:
                raise RedisTimeoutError("the store says nothing") from None
        else:
            count = self._read_in_time(sock, patience)
        if count == 0:
            raise RedisConnectionError("the store closed the connection")
        if count >= LARGE_PIECE:
            self._deadline = self._shared
        reader.feed(self._buffer, 0, count)  # type: ignore[arg-type]  # stubs say bytes
        return True

    def _read_in_time(self, sock: Any, patience: float) -> int:
        left = (self._deadline or 0.0) - time.monotonic()
        if left <= 0:
            raise RedisTimeoutError("the answer takes too long")
        set_patience(sock, min(left, patience))
        try:
            return int(sock.recv_into(self._buffer))
        except BlockingIOError:
            raise RedisTimeoutError("the answer takes too long") from None
        finally:
            set_patience(sock, patience)
