from __future__ import annotations

from collections.abc import Callable

import pytest
from pytest_django.fixtures import Settings

from accounts.sessions import seal
from accounts.sessions.seal import HEADER_BYTES, MAX_BYTES, NotSealed

NAME, OTHER = "bo:{0}:s:0123456789ab", "bo:{0}:s:0123456789ac"
CONTENT = b'{"profile": 1}'


def refused(name: str, value: bytes) -> str:
    with pytest.raises(NotSealed) as error:
        seal.unseal(name, value)
    return str(error.value)


def test_content_comes_back() -> None:
    assert seal.unseal(NAME, seal.seal(NAME, CONTENT)) == CONTENT


def test_value_does_not_open_under_another_name() -> None:
    """Whoever writes to the store can copy one person's value to another's name."""
    assert refused(OTHER, seal.seal(NAME, CONTENT)) == "tag"


@pytest.mark.parametrize("place", [5, HEADER_BYTES - 1, HEADER_BYTES, -17, -16, -1])
def test_value_with_a_changed_byte_does_not_open(place: int) -> None:
    """In the nonce, in the first and last byte of the text, and in the tag."""
    value = bytearray(seal.seal(NAME, CONTENT))
    value[place] ^= 1
    assert refused(NAME, bytes(value)) == "tag"


@pytest.mark.parametrize("length", [HEADER_BYTES + 1, HEADER_BYTES + 15, -1])
def test_value_that_was_cut_does_not_open(length: int) -> None:
    assert refused(NAME, seal.seal(NAME, CONTENT)[:length]) == "tag"


def test_value_of_another_version_does_not_open() -> None:
    """Version 1 is the only one; what reads a later one must say how."""
    assert refused(NAME, b"\x02" + seal.seal(NAME, CONTENT)[1:]) == "form"


@pytest.mark.parametrize("length", [0, 1, 5, HEADER_BYTES])
def test_header_alone_is_no_value(length: int) -> None:
    assert refused(NAME, seal.seal(NAME, CONTENT)[:length]) == "form"


def test_value_that_is_too_large_is_not_deciphered() -> None:
    """A gigabyte in the store must not become one in each process."""
    largest = seal.seal(NAME, bytes(MAX_BYTES - HEADER_BYTES - 16))
    assert len(largest) == MAX_BYTES
    assert seal.unseal(NAME, largest) == bytes(MAX_BYTES - HEADER_BYTES - 16)
    assert refused(NAME, seal.seal(NAME, bytes(MAX_BYTES - HEADER_BYTES - 15))) == (
        "form"
    )


def test_value_sealed_with_a_secret_that_is_not_ours_does_not_open(
    settings: Settings,
) -> None:
    value = seal.seal(NAME, CONTENT)
    settings.SECRET_KEY = "another-secret-" + "x" * 40
    assert refused(NAME, value) == "secret"
    settings.SECRET_KEY_FALLBACKS = ["tests-only-" + "k" * 50]
    assert seal.unseal(NAME, value) == CONTENT


@pytest.mark.parametrize(
    "spoil",
    [
        lambda value: b"\x02" + value[1:],
        lambda value: value[:-1],
        lambda value: value[:3],
        lambda value: seal.seal(OTHER, CONTENT),
        lambda value: b"",
    ],
    ids=["version", "cut", "cut-in-the-header", "of-another-name", "empty"],
)
def test_of_many_values_those_that_are_not_ours_are_none(
    spoil: Callable[[bytes], bytes],
) -> None:
    good = seal.seal(NAME, CONTENT)
    assert list(seal.unseal_each(NAME, [good, spoil(good), good])) == [
        CONTENT,
        None,
        CONTENT,
    ]
