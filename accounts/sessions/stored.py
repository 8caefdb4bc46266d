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
redis.call('SET', KEYS[1], ARGV[3], 'KEEPTTL')
return {{ARGV[1], 'replaced', ''}}
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


def swap(name: str, read: bytes, sealed: bytes) -> tuple[bytes, bytes]:
    """Puts a value in the place of the one that was read; the outcome, what is there.

    Moves no expiry. Nothing is written unless what was read still stands.
    """
    with answering():
        outcome, current = ask(_REPLACE, [name], [seal.header(read), sealed])
        if outcome not in _REPLACED:
            raise Nonsense("no outcome of a save")
        return outcome, current


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
