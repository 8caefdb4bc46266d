from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from django.http import HttpRequest

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


def test_line_is_one_json_object_with_time_and_level(lines: Lines) -> None:
    logging.getLogger("x").warning("event a=%s", 1)
    (line,) = lines()
    assert (line["event"], line["level"]) == ("event a=1", "warning")
    assert line["timestamp"].endswith("Z")


def test_line_breaks_and_escapes_cannot_forge_a_line(lines: Lines) -> None:
    logging.getLogger("x").warning("agent=%s", "a\nb\r\x1b[31m\u2028c")
    assert len(lines()) == 1


def test_address_of_a_refused_request_is_not_written(lines: Lines) -> None:
    request = HttpRequest()
    request.path, request.META["QUERY_STRING"] = "/sso/", "code=unspent"
    extra = {"request": request, "status_code": 403}
    logging.getLogger("django.request").warning("Forbidden", extra=extra)
    (line,) = lines()
    assert "unspent" not in json.dumps(line)
