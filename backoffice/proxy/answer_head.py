"""What an upstream's answer says of itself, in the one reading it may have.

Where two servers disagree on the end of a body, the rest of it becomes an answer that
nobody asked for, given to the next person. So a head that is not exactly as RFC 9112
has it is no answer at all: nothing here is lenient, and nothing is repaired.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from backoffice.proxy.errors import BadAnswer

MOST_BYTES = 64 * 1024
MOST_FIELDS = 100
END = b"\r\n\r\n"

# A length that is not said ends with the connection; chunks have their own end.
UNTIL_CLOSED, CHUNKED = -1, -2

_STATUS = re.compile(r"HTTP/1\.([01]) ([1-5]\d\d)(?: [^\r\n\0]*)?")
_FIELD = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\r\n\0]*)")
_LENGTH = re.compile(r"[0-9]{1,18}")
_WITHOUT_BODY = frozenset({204, 304})


class AnswerHead(NamedTuple):
    """Status and fields as they came; `length` of the body in bytes, or how it ends.

    `lasts`: whether the connection can carry another call afterwards. Never after a
    response without a body (HEAD, 204, 304): an upstream that sends one all the same
    sends it after the end of the response, where the next one is expected.
    """

    status: int
    fields: list[tuple[str, str]]
    length: int
    lasts: bool

    @property
    def is_interim(self) -> bool:
        return self.status < 200


def read_head(data: bytes, method: str) -> AnswerHead:
    """The head of the answer to a call of this method, without its closing line.

    Raises BadAnswer.
    """
    first, *lines = data.decode("latin-1").split("\r\n")
    status_line = _STATUS.fullmatch(first)
    if status_line is None or len(lines) > MOST_FIELDS:
        raise BadAnswer("status" if status_line is None else "fields")
    status = int(status_line[2])
    # 101 would hand over a connection that nobody asked to upgrade.
    if status == 101:
        raise BadAnswer("upgrade")
    fields = [_field(line) for line in lines]
    has_body = method != "HEAD" and status >= 200 and status not in _WITHOUT_BODY
    length = _framing(fields)
    lasts = status_line[1] == "1" and not _says_close(fields)
    if not has_body:
        return AnswerHead(status, fields, 0, lasts=False)
    return AnswerHead(status, fields, length, lasts and length != UNTIL_CLOSED)


def _field(line: str) -> tuple[str, str]:
    found = _FIELD.fullmatch(line)
    if found is None:
        raise BadAnswer("field")
    return found[1], found[2].rstrip(" \t")


def _framing(fields: Sequence[tuple[str, str]]) -> int:
    """RFC 9112, 6.3, less what it tolerates for the sake of older programs."""
    lengths, codings = set(), []
    for name, value in fields:
        # The length first: most other names differ from both in theirs.
        if len(name) == 14 and name.lower() == "content-length":
            lengths.add(value)
        elif len(name) == 17 and name.lower() == "transfer-encoding":
            codings.append(value.lower())
    if codings:
        if codings != ["chunked"] or lengths:
            raise BadAnswer("framing")
        return CHUNKED
    if not lengths:
        return UNTIL_CLOSED
    length = lengths.pop()
    if lengths or not _LENGTH.fullmatch(length):
        raise BadAnswer("length")
    return int(length)


def _says_close(fields: Sequence[tuple[str, str]]) -> bool:
    said = [v for n, v in fields if len(n) == 10 and n.lower() == "connection"]
    return any(
        option.strip() == "close"
        for value in said
        for option in value.lower().split(",")
    )
