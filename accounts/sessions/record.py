"""What one session is: the sealed record behind a cookie.

The limits stand in the record, under the seal, so that whoever can write to the store
cannot lengthen a life. Only the moment of last use lies outside, as the expiry of the
store key, because a touch must never rewrite the value (a kill could be undone).

Under the seal (`seal.py`) lie 57 bytes, big-endian, and then the contents as JSON in
UTF-8, which is an object:

    0   1   form, 2
    1   12  session id, the bytes of its 24 hex digits
    13  8   began, milliseconds since the epoch
    21  8   absolute end, milliseconds since the epoch
    29  4   idle limit, seconds
    33  12  person, the bytes of the last 24 hex digits of the name; zeros when none
    45  12  origin, the same
    57      contents
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, replace
from typing import Any, Self

from accounts import keys
from accounts.sessions import seal
from accounts.sessions.clock import milliseconds
from accounts.sessions.seal import NotSealed

FORM = 2
HEAD = struct.Struct(">B12sQQI12s12s")
NONE = bytes(12)
_decode = json.JSONDecoder().raw_decode
CLOCK_LEEWAY_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Record:
    """All times in seconds since the epoch; `idle` in seconds.

    `person` and `origin` are the names of the index entries the session stands in;
    both are None while a sign-in has only begun, and then it is in no index at all.
    """

    id: str
    began: float
    ends: float
    idle: int
    data: dict[str, Any]
    person: str | None = None
    origin: str | None = None

    @property
    def name(self) -> str:
        return keys.value(self.id)

    def seal(self) -> bytes:
        """The value for the store; raises TypeError for what JSON cannot hold."""
        head = HEAD.pack(
            FORM,
            bytes.fromhex(self.id),
            round(self.began * 1000),
            round(self.ends * 1000),
            self.idle,
            keys.reference(self.person) if self.person else NONE,
            keys.reference(self.origin) if self.origin else NONE,
        )
        text = json.dumps(self.data, ensure_ascii=False, separators=(",", ":"))
        return seal.seal(self.name, head + text.encode())

    @classmethod
    def unseal(cls, identifier: str, sealed: bytes) -> Self:
        """The record stored under this id; raises NotSealed for anything else.

        The id inside is compared too: should the client library ever hand us the
        answer to somebody else's question, it is refused here.
        """
        content = seal.unseal(keys.value(identifier), sealed)
        if len(content) < HEAD.size or content[0] != FORM:
            raise NotSealed("record form")
        _, found, began, ends, idle, person, origin = HEAD.unpack_from(content)
        if found != bytes.fromhex(identifier):
            raise NotSealed("another session's record")
        return cls(
            identifier,
            began / 1000,
            ends / 1000,
            idle,
            _decode(content[HEAD.size :].decode())[0],
            None if person == NONE else keys.named("p", person),
            None if origin == NONE else keys.named("o", origin),
        )

    def with_data(self, data: dict[str, Any]) -> Self:
        return replace(self, data=data)

    def expiry(self, used: float) -> int:
        """When the store must forget this session if it is not used again, in ms.

        Never beyond either limit. In the last stretch, where the absolute limit comes
        first, the expiry could not tell the last use any more; a few milliseconds are
        given up to carry it, in minutes before the end.
        """
        if used + self.idle < self.ends:
            return milliseconds(used + self.idle)
        return milliseconds(self.ends) - max(0, int((self.ends - used) // 60))

    def last_used(self, expiry: int) -> float:
        """The use that set this expiry; to the minute in the last stretch."""
        missing = milliseconds(self.ends) - expiry
        if missing <= self.idle // 60 + 1:
            return max(self.began, self.ends - 60 * missing)
        return expiry / 1000 - self.idle

    def is_live(self, expiry: int, cutoff: int, now: float) -> bool:
        """Whether the limits, the cut-off and the store's own expiry all agree.

        An expiry that is missing or later than any touch could have set was planted.
        """
        latest = min(milliseconds(self.ends), milliseconds(now + self.idle))
        return (
            now < self.ends
            and milliseconds(now) < expiry
            and expiry <= latest + milliseconds(CLOCK_LEEWAY_SECONDS)
            and milliseconds(self.began) >= cutoff
        )
