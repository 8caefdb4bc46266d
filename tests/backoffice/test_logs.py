from __future__ import annotations

import json
import logging

from django.http import HttpRequest

from tests.backoffice.conftest import Lines


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
