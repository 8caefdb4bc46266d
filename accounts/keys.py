"""Every name this project writes into the store, and what it tells a reader.

    bo:{x}:s:<session id>   string  sealed session; lives until idle or absolute end
    bo:{x}:cutoff           string  milliseconds; sessions begun before are dead
    bo:{x}:k:<session id>   string  empty; killed, in case it is just being moved
    bo:{x}:r:<session id>   string  random; somebody is renewing it, for a minute
    bo:{i}:use              zset    session id -> last use, ms
    bo:{i}:start            zset    session id -> start, ms
    bo:{i}:end              zset    session id -> end unless used again, ms
    bo:{i}:f:<3 digits>     hash    session id -> facts, for sessions so beginning
    bo:{i}:w:<kind>         hash    word -> sealed text, for all facts that name it
    bo:{i}:w:<kind>:end     zset    word -> when no session can name it any more, ms
    bo:{i}:mark             string  empty; asks replicas how far they are
    bo:{i}:fenced           string  digest of who the store is, and since when, ms
    bo:{i}:unwritten        hash    sealed kills that SQL could not take yet
    bo:{i}:held             hash    sealed audit entries that SQL could not take yet
    bo:{i}:anchor           hash    sealed; where the chain of audit entries ended
    bo:{i}:outage           string  empty; an outage was told, a minute
    bo:{i}:n:<refusal>      string  empty; a refusal was told, minutes
    bo:{i}:t:<token>        string  empty; a logout token that was used, minutes
    bo:{i}:d:<reference>    string  empty; the sign-ins of one cookie are over, minutes
    bo:{i}:states           zset    state of a sign-in -> use, ms; only the newest
    bo:{i}:e:<token>        hash    batch -> sealed ids that an admin was shown, an hour
    bo:{i}:p:<person>       zset    session id -> end, ms; lives until the last end
    bo:{i}:o:<4 digits>     zset    origin and session id -> end, ms; of all sessions of
                                    the provider whose name begins so
    bo:{i}:p:<person>:k     string  milliseconds; what began before is dead
    bo:{i}:o:<origin>:k     string  the same

Inside the index a session id is its 12 bytes; everywhere else their 24 hex digits.
`{x}` is the session id's first character and `{i}` is itself: hash tags, so that in
a Cluster a session and its cut-off mark share a slot, and so does the whole index.

Every name is an HMAC under a key derived from SECRET_KEY. A dump of the store
therefore holds nothing that works as a cookie, and nobody's name.
"""

from __future__ import annotations

import hmac
import re
from functools import lru_cache

from django.conf import settings

SESSION_KEY_FORM = re.compile(r"[a-z0-9]{32}")
SESSION_ID_FORM = re.compile(r"[0-9a-f]{24}")

BY_USE = "bo:{i}:use"
BY_START = "bo:{i}:start"
BY_END = "bo:{i}:end"
UNWRITTEN = "bo:{i}:unwritten"
HELD_ENTRIES = "bo:{i}:held"
AUDIT_ANCHOR = "bo:{i}:anchor"
OUTAGE = "bo:{i}:outage"
MARK = "bo:{i}:mark"
USED_STATES = "bo:{i}:states"
FENCED = "bo:{i}:fenced"
ANY_VALUE = "bo:{*}:s:*"
ANY_NAMED_SET = ("bo:{i}:p:" + "?" * 24, "bo:{i}:o:" + "?" * 4)
ORIGINS = "bo:{i}:o:"
BUCKET_DIGITS = 3
SHARDS = "0123456789abcdef"


def is_session_key(value: object) -> bool:
    """Whether the value has exactly the form of a key that we make."""
    return isinstance(value, str) and bool(SESSION_KEY_FORM.fullmatch(value))


def is_session_id(value: object) -> bool:
    """Whether the value has exactly the form of a public session reference."""
    return isinstance(value, str) and bool(SESSION_ID_FORM.fullmatch(value))


def session_id(session_key: str) -> str:
    """The id under which a new session with this key is stored."""
    return _reference(roots()[0], "session", session_key)


def session_ids(session_key: str) -> list[str]:
    """Every id the session may be stored under: one per secret still accepted."""
    return [_reference(root, "session", session_key) for root in roots()]


def person(issuer: str, sub: str) -> str:
    """The name of a person's index entry; new sessions are entered here."""
    return people(issuer, sub)[0]


def people(issuer: str, sub: str) -> list[str]:
    """Every name the person's index entry may have, the newest secret first."""
    return _index_names("p", issuer, sub)


def origin(issuer: str, sid: str) -> str:
    """The name of the index entry of one of the provider's own sessions."""
    return origins(issuer, sid)[0]


def origins(issuer: str, sid: str) -> list[str]:
    """Every name that entry may have, the newest secret first."""
    return _index_names("o", issuer, sid)


def logout_token(issuer: str, jti: str) -> str:
    """Where it is remembered that this logout token was used."""
    return _index_names("t", issuer, jti)[0]


def finished_sign_ins(reference: str) -> str:
    """Where it is noted that the sign-ins in this cookie are over."""
    return _index_names("d", "sign-in", reference)[0]


def state(text: str) -> bytes:
    """The 12 bytes that stand for the state of a sign-in."""
    return bytes.fromhex(_reference(roots()[0], "state", text))


def reference(name: str) -> bytes:
    """The 12 bytes that tell a person's or an origin's name from others of its kind."""
    return bytes.fromhex(name[-24:])


def named(kind: str, reference: bytes) -> str:
    """The name of kind "p" or "o" with this reference."""
    return f"bo:{{i}}:{kind}:{reference.hex()}"


def origin_bucket(origin: str) -> str:
    """The set in which the sessions of this origin stand, among others.

    Nearly every origin has one session, and a set of its own costs a hundred bytes.
    """
    return origin[:-20]


def bucket(identifier: str) -> str:
    """The hash in which the facts about this session stand."""
    return f"bo:{{i}}:f:{identifier[:BUCKET_DIGITS]}"


def buckets() -> list[str]:
    """Every hash of facts that there can be."""
    return [f"bo:{{i}}:f:{n:0{BUCKET_DIGITS}x}" for n in range(16**BUCKET_DIGITS)]


def words(kind: str) -> str:
    return f"bo:{{i}}:w:{kind}"


def words_end(kind: str) -> str:
    return f"bo:{{i}}:w:{kind}:end"


def word(kind: str, text: str) -> bytes:
    """Eight bytes that stand for a text which many sessions share.

    Too few to be unique against somebody who looks for two texts with one word, but
    nobody can look without SECRET_KEY; by chance, one in 2^32 for 65,000 texts.
    """
    return bytes.fromhex(_reference(roots()[0], "word", kind, text))[:8]


def frozen(token: str) -> str:
    """Where the ids stand that somebody is to decide about."""
    return f"bo:{{i}}:e:{token}"


def noted(who: str, what: str) -> str:
    """Where it is remembered that this refusal was entered in the audit."""
    return _index_names("n", who, what)[0]


def value(identifier: str) -> str:
    return f"bo:{{{identifier[0]}}}:s:{identifier}"


def tombstone(identifier: str) -> str:
    return f"bo:{{{identifier[0]}}}:k:{identifier}"


def mark(index_name: str) -> str:
    """Where a kill of a person, or of a provider's session, leaves its moment."""
    return f"{index_name}:k"


def turn(identifier: str) -> str:
    """Where whoever renews a session says so."""
    return f"bo:{{{identifier[0]}}}:r:{identifier}"


def cutoff(shard: str) -> str:
    return f"bo:{{{shard}}}:cutoff"


def _index_names(kind: str, issuer: str, name: str) -> list[str]:
    return [
        f"bo:{{i}}:{kind}:{_reference(root, kind, issuer, name)}" for root in roots()
    ]


def _reference(root: bytes, *parts: str) -> str:
    # 96 bits: no collision to be expected below 2^48 sessions, and no way back to a
    # key of 165 random bits.
    message = "\0".join(parts).encode()
    return hmac.digest(root, message, "sha256")[:12].hex()


def roots() -> tuple[bytes, ...]:
    """The keys under which names are made, the newest secret's first."""
    return _derive((settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))


@lru_cache(maxsize=8)
def _derive(secrets: tuple[str, ...]) -> tuple[bytes, ...]:
    return tuple(
        hmac.digest(secret.encode(), b"backoffice/store/names/1", "sha256")
        for secret in secrets
    )
