"""What a cache of client text holds, and what it does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from accounts.text_cache import TextCache, text_cache


def counting(asked: list[str]) -> Callable[[str], str]:
    def compute(text: str) -> str:
        asked.append(text)
        return text.upper()

    return text_cache(entries=3, longest=5)(compute)


def held_by(cached: Any) -> TextCache[str]:
    held: TextCache[str] = cached.__self__
    return held


def test_short_text_is_computed_once() -> None:
    asked: list[str] = []
    upper = counting(asked)
    assert [upper("a"), upper("a"), upper("b")] == ["A", "A", "B"]
    assert asked == ["a", "b"]


def test_long_text_is_computed_each_time_and_not_kept() -> None:
    asked: list[str] = []
    upper = counting(asked)
    assert [upper("longer"), upper("longer")] == ["LONGER", "LONGER"]
    assert asked == ["longer", "longer"]
    assert not held_by(upper)


def test_no_more_entries_are_kept_than_were_allowed() -> None:
    upper = counting([])
    for number in range(100):
        assert upper(str(number)) == str(number)
        assert len(held_by(upper)) <= 3


def test_a_failure_is_not_kept() -> None:
    @text_cache(entries=3, longest=5)
    def number(text: str) -> int:
        return int(text)

    for _ in range(2):
        with pytest.raises(ValueError, match="invalid literal"):
            number("x")
    assert number("1") == 1
