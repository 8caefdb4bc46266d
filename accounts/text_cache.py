"""Caches for what follows from text that clients choose.

`functools.lru_cache` counts entries, not bytes: some thousand paths of eight kilobytes
each, or names of fields that nobody will send again, stay in memory for as long as the
process lives. Here long text is computed anew each time, for ordinary text is short.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class TextCache(dict[str, Value], Generic[Value]):
    """What a pure function makes of at most `entries` texts of `longest` signs."""

    def __init__(
        self, compute: Callable[[str], Value], entries: int, longest: int
    ) -> None:
        super().__init__()
        self._compute = compute
        self.entries = entries
        self.longest = longest

    def __missing__(self, text: str) -> Value:
        value = self._compute(text)
        if len(text) <= self.longest:
            # Not one at a time, least recently used first: to know which one that is
            # would cost every lookup. What is asked for often is soon back.
            if len(self) >= self.entries:
                self.clear()
            self[text] = value
        return value


def text_cache(
    entries: int, longest: int
) -> Callable[[Callable[[str], Value]], Callable[[str], Value]]:
    """Remembers what a pure function of one text returned, for text up to `longest`.

    The result must be about as long as the text. What the function raises is not
    remembered. The function that is returned is a dictionary's own lookup: a hit costs
    no Python code.
    """

    def decorate(compute: Callable[[str], Value]) -> Callable[[str], Value]:
        return TextCache(compute, entries, longest).__getitem__

    return decorate
