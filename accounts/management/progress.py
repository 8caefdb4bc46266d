from __future__ import annotations

import logging
from typing import IO, Any, Self, cast

from django.core.management.base import OutputWrapper
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar


class Progress:
    """A bar for a person at a terminal, beside the results; elsewhere nothing."""

    def __init__(self, beside: OutputWrapper, what: str, total: int | None) -> None:
        self._bar = Bar(
            TextColumn(what),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(file=cast("IO[str]", beside)),
            disable=not beside.isatty(),
            transient=True,
        )
        self._task = self._bar.add_task(what, total=total)

    def __enter__(self) -> Self:
        if not self._bar.disable:
            # Ten thousand lines of log would leave no bar to look at.
            logging.disable(logging.INFO)
        self._bar.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._bar.stop()
        logging.disable(logging.NOTSET)

    def advance(self, number: int) -> None:
        self._bar.advance(self._task, number)

    def reach(self, number: int) -> None:
        self._bar.update(self._task, completed=number)
