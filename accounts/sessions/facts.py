"""What the list can be filtered by without opening a session.

To open and read a hundred thousand sealed sessions takes seconds. So beside each one
stand 54 bytes that can be compared as they are (docs/decisions/0004-facts.md):

    0   6   began, milliseconds since the epoch, big-endian
    6   12  person, as in the record
    18  12  origin, as in the record; zeros when none
    30  8   word for the standing: provider, department, groups
    38  8   word for the device
    46  8   word for the address

A word is a keyed hash of a text that many sessions share; the text itself lies sealed
in a dictionary of its own, once. To filter is to open the dictionary, find the words
whose texts suit, and compare bytes. No name and no address stands there in clear.

Facts are a means of finding and never believed: what is shown or ended was opened.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import Any

from accounts import keys
from accounts.sessions import seal
from accounts.sessions.clock import milliseconds
from accounts.sessions.live_session import LiveSession
from accounts.sessions.questions import answers
from accounts.sessions.record import NONE, Record

WORDS_AT_ONCE = 1000
BUCKETS_AT_ONCE = 256
FORM = struct.Struct(">6s12s12s8s8s8s")
START, PERSON, ORIGIN = slice(0, 6), slice(6, 18), slice(18, 30)


# A session that begins in this moment has moved its words' end before; nothing comes
# between looking and removing.
# KEYS: the dictionary, its ends. ARGV: now (ms), how many at most.
_PRUNE = """
local dead = redis.call('ZRANGE', KEYS[2], '-inf', ARGV[1], 'BYSCORE', 'LIMIT', 0,
                        ARGV[2])
if #dead > 0 then
  redis.call('HDEL', KEYS[1], unpack(dead))
  redis.call('ZREM', KEYS[2], unpack(dead))
end
return #dead
"""


class Kind(StrEnum):
    """The dictionaries, in the order in which facts name their words."""

    STANDING = "s"
    DEVICE = "d"
    ADDRESS = "a"

    @property
    def place(self) -> slice:
        """Where in the facts the word of this kind stands."""
        return _PLACES[self]


_PLACES = {kind: slice(30 + 8 * n, 38 + 8 * n) for n, kind in enumerate(Kind)}


def texts(record: Record) -> dict[Kind, str]:
    """What the words of this session stand for."""
    try:
        session = LiveSession.of(record, record.began)
    except ValueError:
        return dict.fromkeys(Kind, "")
    profile = session.profile
    groups = sorted(profile.groups)
    standing = [session.provider, profile.department, groups]
    return {
        Kind.STANDING: json.dumps(standing, ensure_ascii=False),
        Kind.DEVICE: session.device,
        Kind.ADDRESS: session.address,
    }


def pack(record: Record) -> bytes:
    """The facts about a session."""
    words = (keys.word(kind, text) for kind, text in texts(record).items())
    return FORM.pack(
        moment(round(record.began * 1000)),
        keys.reference(record.person) if record.person else NONE,
        keys.reference(record.origin) if record.origin else NONE,
        *words,
    )


def moment(whole: int) -> bytes:
    """A moment, in ms since the epoch, in the form that compares as moments do."""
    return whole.to_bytes(6, "big")


def names_in(noted: bytes) -> list[str]:
    """The person's and the origin's index names in these facts."""
    found = [keys.named("p", noted[PERSON])]
    if noted[ORIGIN] != NONE:
        found.append(keys.named("o", noted[ORIGIN]))
    return found


def enter(pipeline: Any, record: Record) -> None:
    """Notes the facts about a session, and the words that they name."""
    note_words(pipeline, record)
    pipeline.hset(keys.bucket(record.id), bytes.fromhex(record.id), pack(record))


def note_words(pipeline: Any, record: Record) -> None:
    """Notes the words that the facts about this session name."""
    until = milliseconds(record.ends)
    for kind, text in texts(record).items():
        word, place = keys.word(kind, text), keys.words(kind)
        pipeline.zadd(keys.words_end(kind), {word: until}, gt=True)
        pipeline.hsetnx(place, word, seal.seal(place, text.encode()))


def leave(pipeline: Any, ids: Sequence[str]) -> None:
    """Forgets the facts about these sessions; their words expire by themselves."""
    leaving: dict[str, list[bytes]] = {}
    for identifier in ids:
        member = bytes.fromhex(identifier)
        leaving.setdefault(keys.bucket(identifier), []).append(member)
    for bucket, members in leaving.items():
        pipeline.hdel(bucket, *members)


def prune(client: Any, now: float) -> None:
    """Takes out of the dictionaries what no live session can name any more."""
    pipeline = client.pipeline(transaction=False)
    for kind in Kind:
        names = keys.words(kind), keys.words_end(kind)
        pipeline.execute_command(
            "EVAL", _PRUNE, 2, *names, milliseconds(now), WORDS_AT_ONCE
        )
    answers(pipeline)


def everything(client: Any, buckets: Sequence[str]) -> dict[str, bytes]:
    """The facts in these buckets, by session id."""
    found: dict[str, bytes] = {}
    for start in range(0, len(buckets), BUCKETS_AT_ONCE):
        pipeline = client.pipeline(transaction=False)
        for bucket in buckets[start : start + BUCKETS_AT_ONCE]:
            pipeline.hgetall(bucket)
        for entries in answers(pipeline):
            for member, noted in entries.items():
                if len(noted) == FORM.size:
                    found[member.hex()] = noted
    return found


def of_each(client: Any, ids: Sequence[str]) -> dict[str, bytes]:
    """The facts about these sessions."""
    pipeline = client.pipeline(transaction=False)
    for identifier in ids:
        pipeline.hget(keys.bucket(identifier), bytes.fromhex(identifier))
    found = zip(ids, answers(pipeline) if ids else [], strict=True)
    return {i: noted for i, noted in found if noted and len(noted) == FORM.size}


def dictionary(client: Any, kind: Kind) -> dict[bytes, str]:
    """What the words of this kind mean; a word whose text does not open is left out."""
    return _opened(kind, client.hgetall(keys.words(kind)))


def meanings(client: Any, noted: Collection[bytes]) -> dict[Kind, dict[bytes, str]]:
    """What the words in these facts mean, by kind."""
    if not noted:
        return {kind: {} for kind in Kind}
    wanted = {kind: list({fact[kind.place] for fact in noted}) for kind in Kind}
    pipeline = client.pipeline(transaction=False)
    for kind, words in wanted.items():
        pipeline.hmget(keys.words(kind), words)
    found = dict(zip(Kind, answers(pipeline), strict=True))
    return {
        kind: _opened(
            kind, {w: text for w, text in zip(words, found[kind], strict=True) if text}
        )
        for kind, words in wanted.items()
    }


def tell(noted: bytes, record: Record, words: dict[Kind, dict[bytes, str]]) -> bool:
    """Whether these facts say of the record what there is to say.

    Not whether they are the same bytes: with another secret the words are others.
    """
    told = {kind: words[kind].get(noted[kind.place]) for kind in Kind}
    names = [name for name in (record.person, record.origin) if name]
    return told == texts(record) and names_in(noted) == names


def _opened(kind: Kind, sealed: Mapping[bytes, bytes]) -> dict[bytes, str]:
    texts = seal.unseal_each(keys.words(kind), sealed.values())
    opened = zip(sealed, texts, strict=True)
    return {word: text.decode() for word, text in opened if text is not None}
