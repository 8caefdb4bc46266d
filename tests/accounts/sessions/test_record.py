from __future__ import annotations

import json

import pytest

from accounts import keys
from accounts.sessions import seal
from accounts.sessions.record import Record
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
