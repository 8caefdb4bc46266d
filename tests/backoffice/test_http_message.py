"""What gunicorn's own tests cannot know of ours: that the head waits for the body."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from gunicorn.config import Config
from gunicorn.http.errors import InvalidResponseHeader, InvalidResponseHeaderName

from backoffice.http_message import Response


class Wire:
    """A socket that keeps what each system call was given."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def sendall(self, data: bytes) -> None:
        self.sent.append(data)


@pytest.fixture
def wire() -> Wire:
    return Wire()


def response(wire: Wire, method: str = "GET", **fields: str) -> Response:
    request = SimpleNamespace(
        method=method, version=(1, 1), should_close=lambda: False, headers=[]
    )
    made = Response(request, wire, Config())
    made.start_response("200 OK", [(n.replace("_", "-"), v) for n, v in fields.items()])
    return made


def test_head_and_body_leave_together(wire: Wire) -> None:
    answer = response(wire, Content_Length="5")
    answer.write(b"hello")
    answer.close()
    assert len(wire.sent) == 1
    head, _, body = wire.sent[0].partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Connection: keep-alive\r\n" in head
    assert body == b"hello"


def test_a_chunk_leaves_with_the_head_and_the_end_follows(wire: Wire) -> None:
    answer = response(wire)
    answer.write(b"a" * 17)
    answer.write(b"b")
    answer.close()
    assert wire.sent[0].endswith(b"\r\n\r\n11\r\n" + b"a" * 17 + b"\r\n")
    assert wire.sent[1:] == [b"1\r\nb\r\n", b"0\r\n\r\n"]


def test_a_stream_that_has_nothing_to_say_yet_says_that_it_is_open(wire: Wire) -> None:
    answer = response(wire, Content_Type="text/event-stream")
    answer.write(b"")
    assert len(wire.sent) == 1
    assert wire.sent[0].endswith(
        b"Transfer-Encoding: chunked\r\nContent-Type: text/event-stream\r\n\r\n"
    )


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_an_empty_answer_is_its_head(wire: Wire, method: str) -> None:
    answer = response(wire, method, Content_Length="0")
    answer.write(b"")
    answer.close()
    assert len(wire.sent) == 1
    assert wire.sent[0].endswith(b"Content-Length: 0\r\n\r\n")


def test_no_more_than_the_length_is_sent(wire: Wire) -> None:
    answer = response(wire, Content_Length="3")
    answer.write(b"four")
    answer.close()
    assert wire.sent[0].endswith(b"\r\n\r\nfou")


def test_fields_are_judged_as_gunicorn_judges_them(wire: Wire) -> None:
    answer = response(wire, Content_Length=" 2 ", X_Padded=" a b\t", Keep_Alive="yes")
    assert answer.response_length == 2
    assert answer.headers == [("Content-Length", "2"), ("X-Padded", "a b")]
    with pytest.raises(InvalidResponseHeaderName):
        response(wire, **{"A field": "1"})
    with pytest.raises(InvalidResponseHeader):
        response(wire, X_First="fine", X_Second="a\r\nSet-Cookie: b")
    with pytest.raises(TypeError):
        response(wire, X_Length=5)  # type: ignore[arg-type]


def test_an_upgrade_is_still_announced(wire: Wire) -> None:
    answer = response(wire, Connection="Upgrade", Upgrade="websocket", X_Other="1")
    assert answer.upgrade
    assert answer.headers == [("Upgrade", "websocket"), ("X-Other", "1")]
