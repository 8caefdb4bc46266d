"""What the store has of a session: looked up, and exchanged for another value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from accounts import keys
from accounts.sessions import facts, fence, index, ledger, seal
from accounts.sessions.connections import Nonsense, answering, client
from accounts.sessions.errors import StoreNotFenced, TooLarge
from accounts.sessions.questions import ask, ask_about, ask_about_each, whole_number
from accounts.sessions.record import Record

# The header of a sealed value is never the same twice, so comparing it tells whether
# this is still the value that the writer had read.
# It begins its answer with the ticket it was asked with; see questions.ask.
_REPLACE = f"""
local current = redis.call('GET', KEYS[1])
if not current then return {{ARGV[1], 'gone', ''}} end
if string.sub(current, 1, {seal.HEADER_BYTES}) ~= ARGV[2] then
  return {{ARGV[1], 'changed', current}}
end
if ARGV[4] == '' then
  redis.call('SET', KEYS[1], ARGV[3], 'KEEPTTL')
else
  local known = redis.call('PEXPIRETIME', KEYS[1])
  local wanted = tonumber(ARGV[4])
  if known >= 0 and known < wanted then wanted = known end
  redis.call('SET', KEYS[1], ARGV[3], 'PXAT', string.format('%d', wanted))
end
return {{ARGV[1], 'replaced', ''}}
"""
# Only of the value that was read: under another one shorter limits may stand, beyond
# which no use of the longer ones may move the expiry.
_TOUCH = f"""
local current = redis.call('GET', KEYS[1])
if not current or string.sub(current, 1, {seal.HEADER_BYTES}) ~= ARGV[2] then
  return {{ARGV[1], 0}}
end
return {{ARGV[1], redis.call('PEXPIREAT', KEYS[1], ARGV[3], 'GT')}}
"""
REPLACED, CHANGED, GONE = b"replaced", b"changed", b"gone"
_REPLACED = frozenset({REPLACED, CHANGED, GONE})

Answer = TypeVar("Answer")

# Value, expiry and cut-off, both in milliseconds.
Found = tuple[bytes | None, int, int]


def look_up(identifier: str) -> Found:
    """What the store has under a session id, behind the fence."""
    names = keys.value(identifier), keys.cutoff(identifier[0])
    with answering():
        return _found_in(*_behind_the_fence(ask_about, *names))


def look_up_each(identifiers: list[str]) -> list[Found]:
    """The same for several ids, in one round trip."""
    names = [(keys.value(each), keys.cutoff(each[0])) for each in identifiers]
    with answering():
        return [_found_in(*each) for each in _behind_the_fence(ask_about_each, names)]


def _behind_the_fence(
    question: Callable[..., tuple[Answer, str]], *given: Any
) -> Answer:
    """What the store says, if at that time it was the current one and knew the log.

    Raises StoreNotFenced where it is another one each time that it is asked.
    """
    for _ in range(fence.MOST_CHANGES):
        before = fence.generation()
        answer, server = question(*given)
        if fence.generation() == before and fence.believes(server):
            return answer
        ledger.raise_fence()
    raise StoreNotFenced("another-store")


def _found_in(value: Any, expiry: Any, cutoff: Any) -> Found:
    if not (value is None or isinstance(value, bytes)):
        raise Nonsense("no value")
    return value, whole_number(expiry), int(cutoff or 0)


def swap(
    name: str, read: bytes, sealed: bytes, expiry: int | None = None
) -> tuple[bytes, bytes]:
    """Puts a value in the place of the one that was read; the outcome, what is there.

    Moves no expiry, but to an earlier one (ms) where the limits have become shorter.
    Nothing is written unless what was read still stands.
    """
    latest = b"" if expiry is None else expiry
    with answering():
        outcome, current = ask(_REPLACE, [name], [seal.header(read), sealed, latest])
        if outcome not in _REPLACED:
            raise Nonsense("no outcome of a save")
        return outcome, current


def touch(name: str, read: bytes, expiry: int) -> bool:
    """Moves the expiry to a later moment (ms), if what was read still stands.

    Tells whether it did. Belongs inside `answering`.
    """
    (moved,) = ask(_TOUCH, [name], [seal.header(read), expiry])
    return bool(whole_number(moved))


def note_facts(before: Record, record: Record) -> None:
    """Brings the facts up to date where a session was written again with others."""
    if record.person and facts.texts(before) != facts.texts(record):
        with answering():
            index.note(client(), record)


def sealed_value(record: Record) -> bytes:
    """The value for the store; raises TooLarge."""
    sealed = record.seal()
    if len(sealed) > seal.MAX_BYTES:
        raise TooLarge(f"a session of {len(sealed)} bytes is too large to keep")
    return sealed
