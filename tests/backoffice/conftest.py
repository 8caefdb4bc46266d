from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from backoffice.logs import configure

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Configures JSON lines; gives what was written since."""
    root = logging.getLogger()
    kept, level = root.handlers[:], root.level
    configure({"json": True})
    written = io.StringIO()
    for handler in root.handlers:
        if isinstance(handler.formatter, structlog.stdlib.ProcessorFormatter):
            handler.setStream(written)  # type: ignore[attr-defined]
    yield lambda: [json.loads(line) for line in written.getvalue().split("\n") if line]
    root.handlers[:] = kept
    root.setLevel(level)
