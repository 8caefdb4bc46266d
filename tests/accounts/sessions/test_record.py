from __future__ import annotations

import json

import pytest

from accounts import keys
from accounts.sessions import seal
from accounts.sessions.record import CLOCK_LEEWAY_SECONDS, Record
from accounts.sessions.seal import NotSealed

ID = "0123456789abcdef01234567"
RECORD = Record(
    id=ID,
    began=1_790_000_000.123,
    ends=1_790_028_800.123,
    idle=1800,
    data={"profile": {"name": "김하늘"}},
    person=keys.person("https://idp.example", "u-1"),
    origin=keys.origin("https://idp.example", "s-1"),
)


def test_record_comes_back_as_it_was() -> None:
    assert Record.unseal(ID, RECORD.seal()) == RECORD
    begun = Record(ID, 1.0, 2.0, 1, {})
    assert Record.unseal(ID, begun.seal()) == begun


def test_layout_under_the_seal_is_the_documented_one() -> None:
    """The nginx door reads it too: these offsets are a contract."""
    content = seal.unseal(keys.value(ID), RECORD.seal())
    assert content[0] == 2
    assert content[1:13].hex() == ID
    assert int.from_bytes(content[13:21]) == 1_790_000_000_123
    assert int.from_bytes(content[21:29]) == 1_790_028_800_123
    assert int.from_bytes(content[29:33]) == 1800
    assert content[33:45].hex() == str(RECORD.person)[-24:]
    assert content[45:57].hex() == str(RECORD.origin)[-24:]
    assert json.loads(content[57:]) == RECORD.data


@pytest.mark.parametrize(
    "content", [b"", b"\x02" * 20, b"\x01" + bytes(60), b'["1", "a list"]' * 9]
)
def test_other_forms_under_a_true_seal_are_refused(content: bytes) -> None:
    with pytest.raises(NotSealed):
        Record.unseal(ID, seal.seal(keys.value(ID), content))


def test_record_of_another_session_is_refused() -> None:
    other = "f" * 24
    content = seal.unseal(keys.value(ID), RECORD.seal())
    with pytest.raises(NotSealed, match="another session"):
        Record.unseal(other, seal.seal(keys.value(other), content))


@pytest.mark.parametrize("form", [0, 1, 3, 255])
def test_record_of_another_form_is_refused(form: int) -> None:
    """Right in every other way: what a later version writes is not guessed at."""
    content = seal.unseal(keys.value(ID), RECORD.seal())
    with pytest.raises(NotSealed, match="form"):
        Record.unseal(ID, seal.seal(keys.value(ID), bytes([form]) + content[1:]))


# Whether it is live -----------------------------------------------------------------

BEGAN = 1_790_000_000.0
LASTING = Record(id=ID, began=BEGAN, ends=BEGAN + 3600, idle=600, data={})
LEEWAY_MS = CLOCK_LEEWAY_SECONDS * 1000


def milliseconds(after: float) -> int:
    return round((BEGAN + after) * 1000)


def is_live(now: float, expiry: int, cutoff: int = 0) -> bool:
    """`now` in seconds after the start, `expiry` and `cutoff` in ms since the epoch."""
    return LASTING.is_live(expiry, cutoff, BEGAN + now)


def test_session_in_use_is_live() -> None:
    assert is_live(0, LASTING.expiry(BEGAN))
    assert is_live(3599.9, LASTING.expiry(BEGAN + 3599.9))


def test_absolute_end_is_the_end_whatever_the_store_says() -> None:
    """An expiry within the leeway after the end passes every other check."""
    late = milliseconds(3600) + LEEWAY_MS
    assert is_live(3599.9, late)
    assert not is_live(3600, late)
    assert not is_live(3630, late)


def test_expiry_that_is_over_is_the_end() -> None:
    """As when a replica, or a store whose clock is behind, has not removed it yet."""
    assert is_live(599.9, milliseconds(600))
    assert not is_live(600, milliseconds(600))


@pytest.mark.parametrize("missing", [-1, -2, 0])
def test_value_without_an_expiry_is_not_live(missing: int) -> None:
    """PEXPIRETIME says -1 for a value that never expires: PERSIST is one command."""
    assert not is_live(1, missing)


def test_expiry_later_than_any_use_could_set_was_planted() -> None:
    latest = milliseconds(100 + 600)
    assert is_live(100, latest)
    assert is_live(100, latest + LEEWAY_MS)
    assert not is_live(100, latest + LEEWAY_MS + 1)


def test_expiry_beyond_the_absolute_end_was_planted() -> None:
    """In the last stretch the idle limit would allow more than is left."""
    latest = milliseconds(3600)
    assert is_live(3500, latest + LEEWAY_MS)
    assert not is_live(3500, latest + LEEWAY_MS + 1)
    assert not is_live(3500, milliseconds(3500 + 600))


def test_session_that_began_before_the_cut_off_is_dead() -> None:
    expiry = milliseconds(600)
    assert is_live(1, expiry, milliseconds(0))
    assert not is_live(1, expiry, milliseconds(0) + 1)
