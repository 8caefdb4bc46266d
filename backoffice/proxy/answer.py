from __future__ import annotations

import re
from collections.abc import Callable

from backoffice.proxy.answer_head import (
    CHUNKED,
    END,
    MOST_BYTES,
    UNTIL_CLOSED,
    AnswerHead,
    read_head,
)
from backoffice.proxy.connection import Call, Connection
from backoffice.proxy.errors import BadAnswer

# What may come before the answer itself (103 Early Hints), in one call.
MOST_INTERIM = 10
MOST_PIECE_BYTES = 64 * 1024
_CHUNK_HEAD = re.compile(rb"([0-9a-fA-F]{1,12})[ \t]*(?:;[^\r\n]*)?")
_MOST_CHUNK_HEAD_BYTES = 4096


class Answer:
    """An upstream's answer: its head read, its body still to come.

    Whoever holds it closes it, read to the end or not: a connection that still holds
    half an answer would give the other half to the next person. `done` takes the
    connection back, and is told whether the answer was read to its end.
    """

    def __init__(
        self,
        connection: Connection,
        call: Call,
        method: str,
        done: Callable[[Connection, bool], None],
    ) -> None:
        self._connection: Connection | None = connection
        self._call = call
        self._done = done
        self.head = _read_head(connection, call, method)
        self.status, self.fields = self.head.status, self.head.fields
        self._left = self.head.length
        # Of the chunk that is being read; 0 before the head of the next one.
        self._chunk = 0

    @property
    def is_whole(self) -> bool:
        """Whether all of it has been read."""
        return self._left == 0

    def all_values(self, name: str) -> list[str]:
        """Every value of a field, each as it came."""
        return [value for known, value in self.fields if known.lower() == name]

    def read(self) -> bytes:
        """The next piece of the body as soon as it is there; b"" at its end.

        Raises OSError when it breaks off or its time is up.
        """
        if self._connection is None:
            return b""
        piece = b""
        if self._left > 0:
            piece = self._take(self._connection, self._left)
            self._left -= len(piece)
        elif self._left == CHUNKED:
            piece = self._take_chunk(self._connection)
        elif self._left == UNTIL_CLOSED:
            piece = self._take_rest(self._connection)
        return piece

    def close(self) -> None:
        """Gives the connection up; one that is not read to its end is closed."""
        connection, self._connection = self._connection, None
        if connection is not None:
            if not self.head.lasts:
                connection.is_spoilt = True
            self._done(connection, self._left == 0)

    def _take(self, connection: Connection, most: int) -> bytes:
        if not connection.unread:
            connection.more(self._call)
        piece, connection.unread = connection.unread[:most], connection.unread[most:]
        return piece

    def _take_rest(self, connection: Connection) -> bytes:
        piece, connection.unread = connection.unread, b""
        if not piece:
            piece = connection.receive(self._call)
        if not piece:
            self._left = 0
        return piece

    def _take_chunk(self, connection: Connection) -> bytes:
        if self._chunk == 0:
            self._chunk = self._next_chunk(connection)
            if self._chunk == 0:
                self._skip_trailer(connection)
                self._left = 0
                return b""
        piece = self._take(connection, self._chunk)
        self._chunk -= len(piece)
        if self._chunk == 0:
            if self._line(connection) != b"":
                raise BadAnswer("chunk end")
            # The last chunk mostly comes along: then the answer is whole at once.
            if connection.unread.startswith(b"0\r\n\r\n"):
                connection.unread = connection.unread[5:]
                self._left = 0
        return piece

    def _next_chunk(self, connection: Connection) -> int:
        found = _CHUNK_HEAD.fullmatch(self._line(connection))
        if found is None:
            raise BadAnswer("chunk")
        return int(found[1], 16)

    def _skip_trailer(self, connection: Connection) -> None:
        """Trailers are not passed on; they end somewhere, or the answer is bad."""
        taken = 0
        while line := self._line(connection):
            taken += len(line)
            if taken > MOST_BYTES:
                raise BadAnswer("trailer")

    def _line(self, connection: Connection) -> bytes:
        while b"\r\n" not in connection.unread:
            if len(connection.unread) > _MOST_CHUNK_HEAD_BYTES:
                raise BadAnswer("line")
            connection.more(self._call)
        line, _, connection.unread = connection.unread.partition(b"\r\n")
        if len(line) > _MOST_CHUNK_HEAD_BYTES or b"\n" in line or b"\r" in line:
            raise BadAnswer("line")
        return line


def _read_head(connection: Connection, call: Call, method: str) -> AnswerHead:
    for interim in range(MOST_INTERIM):
        while (end := connection.unread.find(END)) < 0:
            if len(connection.unread) > MOST_BYTES:
                raise BadAnswer("endless head")
            connection.more(call)
        if end > MOST_BYTES:
            raise BadAnswer("long head")
        data = connection.unread[:end]
        connection.unread = connection.unread[end + len(END) :]
        head = read_head(data, method)
        if not head.is_interim:
            # Nobody asked for an interim response. Who cannot count its responses may
            # send one more of them later.
            return head._replace(lasts=False) if interim else head
    raise BadAnswer("interim answers")
