"""The two bodies of a call: what the client sends, and what comes back."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from backoffice.proxy.answer import Answer
from backoffice.proxy.errors import Refusal, Refused, UpstreamCutShort, root_name

log = logging.getLogger("backoffice.proxy")

PIECE_BYTES = 64 * 1024


class AnswerBody:
    """An answer's body, each piece as soon as it arrives.

    `first` was read already: while nothing has been sent, a failure still becomes an
    honest 502 or 504. `leave` is called once, when it is over.
    """

    def __init__(
        self,
        answer: Answer,
        route: str,
        first: bytes | None,
        leave: Callable[[], bool],
    ) -> None:
        self._answer = answer
        self._route = route
        self._first = first
        self._leave: Callable[[], bool] | None = leave

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._first is not None:
            piece, self._first = self._first, None
            return piece
        try:
            piece = self._answer.read()
        except OSError as error:
            self.close()
            log.warning(
                "answer_cut_short route=%s error=%s", self._route, root_name(error)
            )
            raise UpstreamCutShort from error
        was_cut = self.close() if self._answer.is_whole else False
        if piece:
            return piece
        # A body that ends with its connection seems whole when we ended that.
        if was_cut:
            raise UpstreamCutShort
        raise StopIteration

    def close(self) -> bool:
        """Gives everything back; whether it was cut from outside."""
        leave, self._leave = self._leave, None
        was_cut = leave() if leave else False
        self._answer.close()
        return was_cut


def request_body(
    environment: Mapping[str, Any], limit: int
) -> tuple[int | None, Iterator[bytes] | None]:
    """Length and pieces of the client's body; length None = it comes in chunks.

    Nothing is read before the first piece is asked for, and no more than one piece is
    held. Raises Refused: 413 above `limit` bytes, 400 when it breaks off.
    """
    length = _declared_length(environment)
    if length == 0:
        return 0, None
    if length is not None and length > limit:
        raise Refused(Refusal.BODY_TOO_LARGE)
    return length, _pieces(environment["wsgi.input"], length, limit)


def _declared_length(environment: Mapping[str, Any]) -> int | None:
    declared = environment.get("CONTENT_LENGTH") or "0"
    if not declared.isdigit():
        raise Refused(Refusal.BODY_CUT_SHORT, "length")
    # Without Content-Length only a server that ends the stream itself can be read.
    is_chunked = "HTTP_TRANSFER_ENCODING" in environment
    is_ended = environment.get("wsgi.input_terminated", False)
    return None if is_chunked and is_ended else int(declared)


def _pieces(stream: Any, length: int | None, limit: int) -> Iterator[bytes]:
    taken = 0
    while length is None or taken < length:
        piece = _read_from_client(stream, length, taken)
        taken += len(piece)
        if taken > limit:
            raise Refused(Refusal.BODY_TOO_LARGE)
        if not piece:
            break
        yield piece
    if length is not None and taken < length:
        raise Refused(Refusal.BODY_CUT_SHORT, "end")


def _read_from_client(stream: Any, length: int | None, taken: int) -> bytes:
    size = PIECE_BYTES if length is None else min(PIECE_BYTES, length - taken)
    try:
        return bytes(stream.read(size))
    except Exception as error:
        # Servers raise what they like here. As an OSError it would pass for the
        # upstream's own.
        raise Refused(Refusal.BODY_CUT_SHORT, root_name(error)) from error
