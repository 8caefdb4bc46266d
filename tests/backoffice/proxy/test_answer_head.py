from __future__ import annotations

import pytest

from backoffice.proxy.answer_head import CHUNKED, UNTIL_CLOSED, AnswerHead, read_head
from backoffice.proxy.errors import BadAnswer


def head(
    *lines: str, status: str = "HTTP/1.1 200 OK", method: str = "GET"
) -> AnswerHead:
    return read_head("\r\n".join([status, *lines]).encode("latin-1"), method)


@pytest.mark.parametrize(
    ("lines", "length"),
    [
        ((), UNTIL_CLOSED),
        (("Content-Length: 5",), 5),
        (("Content-Length: 5", "content-length: 5"), 5),
        (("Transfer-Encoding: Chunked",), CHUNKED),
        (("Content-Type: multipart/mixed; boundary=x",), UNTIL_CLOSED),
        (("X-Text: \xe9", "X-Empty:", "X-Tab:\ta"), UNTIL_CLOSED),
    ],
)
def test_a_head_with_one_reading_is_taken(lines: tuple[str, ...], length: int) -> None:
    assert head(*lines).length == length


@pytest.mark.parametrize(
    "line",
    [
        "Content-Length: 5, 5",
        "Content-Length: \xb2",
        "Content-Length: +5",
        "Content-Length: 0x5",
        "Content-Length: 5 5",
        "Content-Length:",
        "Content-Length: -1",
        "Content-Length: " + "9" * 19,
        "Content-Length : 5",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "X: a\r\n folded",
        " X: a",
        "X: a\nY: b",
        "X: a\rY: b",
        "X: a\0",
        "no colon",
        ": no name",
        "",
        "X\xe9: a",
    ],
)
def test_a_head_with_two_readings_is_refused(line: str) -> None:
    with pytest.raises(BadAnswer):
        head(line)


@pytest.mark.parametrize(
    "status",
    [
        "HTTP/1.1 200OK",
        "HTTP/1.1  200 OK",
        "HTTP/1.1 20 OK",
        "HTTP/1.1 600 Odd",
        "HTTP/1.1 101 Switching Protocols",
        "HTTP/2.0 200 OK",
        "http/1.1 200 OK",
        "ICY 200 OK",
        "HTTP/1.1 200 \n",
        "",
    ],
)
def test_a_status_line_of_another_form_is_refused(status: str) -> None:
    with pytest.raises(BadAnswer):
        head(status=status)


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_some_answers_have_no_body_whatever_they_say(status: str) -> None:
    assert head("Content-Length: 5", status=f"HTTP/1.1 {status}").length == 0
    assert head("Content-Length: 5", method="HEAD").length == 0


@pytest.mark.parametrize(
    ("lines", "status", "lasts"),
    [
        (("Content-Length: 0",), "HTTP/1.1 200", True),
        (("Content-Length: 0",), "HTTP/1.0 200 OK", False),
        (("Content-Length: 0", "Connection: x, Close"), "HTTP/1.1 200", False),
        ((), "HTTP/1.1 200", False),
        ((), "HTTP/1.1 204", False),
        (("Content-Length: 0",), "HTTP/1.1 204", False),
        (("Content-Length: 5",), "HTTP/1.1 304", False),
    ],
)
def test_a_connection_lasts_when_the_end_is_certain(
    lines: tuple[str, ...], status: str, lasts: bool
) -> None:
    assert head(*lines, status=status).lasts is lasts
