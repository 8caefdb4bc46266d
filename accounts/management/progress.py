from __future__ import annotations

from typing import IO, Any, Self, cast

from django.core.management.base import OutputWrapper
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar


class _AsItIs:
    """Django's stream without the line ends and the colour that Django adds.

    A bar is drawn again and again on one line.
    """

    def __init__(self, stream: OutputWrapper) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(text, style_func=str, ending="")
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Progress:
    """A bar for a person at a terminal, beside the results; elsewhere nothing."""

    def __init__(self, beside: OutputWrapper, what: str, total: int | None) -> None:
        self._bar = Bar(
            TextColumn(what),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(file=cast("IO[str]", _AsItIs(beside))),
            disable=not beside.isatty(),
            transient=True,
        )
        self._task = self._bar.add_task(what, total=total)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._bar.stop()

    def advance(self, number: int) -> None:
        self._bar.advance(self._task, number)

    def reach(self, number: int) -> None:
        self._bar.update(self._task, completed=number)
