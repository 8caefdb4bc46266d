"""Two requests on one client connection, every kind after every other.

Whatever the first one met, the second gets a response, or the connection says that it
closes and does.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from http.client import BadStatusLine, HTTPException, HTTPResponse
from typing import BinaryIO

import pytest

from tests.doors.house import Door, proof
from tests.doors.test_faults import CHUNKED, HEAD, READINGS, STATUS
from tests.doors.test_heads import (
    DATA,
    END_OF_STREAM_AND_HEADERS,
    HEADERS,
    SETTINGS,
    STATUS_200,
    frame,
    newer_door,
)
from tests.fakes.upstream import Talk, answer, closing, hanging, resetting

__all__ = ["newer_door"]

# Longer than any limit of the routes here, so that it never decides.
SECONDS = 30
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"

Act = Callable[[Talk], bool | None]


def answering(sent: bytes) -> Act:
    """Sends this and keeps the connection, as Node and most others do."""

    def act(talk: Talk) -> bool:
        talk.say(sent)
        return True

    return act


# What an upstream sends. Each stands for one way in which nginx or we end a response.
RESPONSES: dict[str, Act] = {
    "good": answering(answer(body=b"hello")),
    "good-chunks": answering(CHUNKED + b"5\r\nhello\r\n0\r\n\r\n"),
    "no-content": answering(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "own-502": answering(answer("502 Bad Gateway", body=b"the upstream's own")),
    "early-hints": answering(HINTS + answer(body=b"hello")),
    "early-hints-closing": closing(HINTS + answer(body=b"hello")),
    "continue": answering(b"HTTP/1.1 100 Continue\r\n\r\n" + answer(body=b"hello")),
    **{name: closing(sent) for name, sent in (READINGS | STATUS).items()},
    "silence": closing(b""),
    "reset": resetting(b""),
    "no-colon": closing(b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n"),
    "half-a-head": closing(b"HTTP/1.1 200 OK\r\nContent-"),
    "half-a-body": closing(HEAD + b"Content-Length: 10000\r\n\r\nhello"),
    "half-the-chunks": closing(CHUNKED + b"5\r\nhello\r\n"),
    "no-chunk": closing(CHUNKED + b"5\r\nhello\r\nzz\r\n"),
}


@dataclass(frozen=True, slots=True)
class Request:
    """One request as its bytes."""

    data: bytes
    method: str = "GET"


@dataclass(frozen=True, slots=True)
class Received:
    """`status` 0: the connection ended without a response. `is_last`: it ends now."""

    status: int
    is_last: bool


def request(
    door: Door, key: str | None, target: str, *fields: str, method: str = "GET"
) -> Request:
    lines = [f"{method} /api/proxy/{target} HTTP/1.1", f"Host: {door.host}", *fields]
    if key:
        lines.append(f"Cookie: session_id={key}")
    return Request("\r\n".join([*lines, "", ""]).encode(), method)


def requests(door: Door, key: str) -> dict[str, Request]:
    """Every kind: what the upstream does to it, or what we refuse ourselves."""

    def acting(route: str, act: Act, *fields: str, method: str = "GET") -> Request:
        return request(door, key, f"{route}/{door.act(act)}", *fields, method=method)

    def writing(target: str, body: bytes) -> Request:
        fields = f"Content-Length: {len(body)}", *proof(door)
        head = request(door, key, target, *fields, method="POST")
        return Request(head.data + body, "POST")

    early = door.act(RESPONSES["early-hints"])
    return {
        **{name: acting("echo", act) for name, act in RESPONSES.items()},
        "early-hints-alone": acting("slow", hanging(HINTS, SECONDS)),
        "slow": acting("slow", hanging(b"", SECONDS)),
        "gone": request(door, key, "gone/"),
        "head": request(door, key, "echo/", method="HEAD"),
        "head-two-lengths": acting("echo", RESPONSES["two-lengths"], method="HEAD"),
        "early-hints-to-a-body": writing(f"bulk/{early}", b"hello"),
        "no-session": request(door, None, "echo/"),
        "no-route": request(door, key, "absent/"),
        "no-method": request(door, key, "reports/", method="PUT"),
        "not-allowed": request(door, key, "reports/"),
        "no-proof": request(door, key, "echo/", method="POST"),
        "last-hop": request(door, key, "echo/", "Max-Forwards: 0", method="OPTIONS"),
        "body-too-large": writing("echo/", b"x" * 1001),
    }


def receive(sock: socket.socket, sent: Request) -> Received:
    """The response to this request, read to its end."""
    response = HTTPResponse(sock, method=sent.method)
    try:
        response.begin()
        is_last = response.will_close
        response.read()
    except (HTTPException, ConnectionError) as error:
        # http.client raises when a body breaks off; that connection is over as well.
        is_cut = not isinstance(error, BadStatusLine | ConnectionError)
        return Received(response.status if is_cut else 0, True)
    finally:
        response.close()
    return Received(response.status, is_last)


def ends(sock: socket.socket) -> bool:
    try:
        return sock.recv(1) == b""
    except ConnectionError:
        return True


def alone(door: Door, sent: Request) -> Received:
    with door.connect(SECONDS) as sock:
        sock.sendall(sent.data)
        return receive(sock, sent)


def after(door: Door, first: Request, second: Request) -> Received | None:
    """What the second one receives after the first; None when the first one said that
    its connection closes, and it did."""
    with door.connect(SECONDS) as sock:
        sock.sendall(first.data)
        if receive(sock, first).is_last:
            assert ends(sock)
            return None
        sock.sendall(second.data)
        return receive(sock, second)


# What takes its time: enough of them follow each other.
SLOW = {"slow", "early-hints-alone"}
AFTER_SLOW = {"good", "early-hints", "slow", "no-session"}
KINDS = [*RESPONSES, "early-hints-alone", "slow", "gone", "head", "head-two-lengths"]
KINDS += ["early-hints-to-a-body", "no-session", "no-route", "no-method"]
KINDS += ["not-allowed", "no-proof", "last-hop", "body-too-large"]


@pytest.fixture(scope="module")
def statuses() -> dict[tuple[str, str], int]:
    """What each kind receives on a connection of its own, by entrance and kind."""
    return {}


@pytest.mark.parametrize("kind", KINDS)
def test_a_connection_that_is_kept_answers_the_next_request(
    door: Door, lasting_key: str, statuses: dict[tuple[str, str], int], kind: str
) -> None:
    """A filter that gives up leaves nginx with a connection on which it reads requests
    and sends nothing; behind a balancer that is somebody else's connection."""
    known = requests(door, lasting_key)
    assert list(known) == KINDS
    for name, second in known.items():
        if kind in SLOW and name not in AFTER_SLOW:
            continue
        found = after(door, known[kind], second)
        if found is None:
            return
        if (door.name, name) not in statuses:
            statuses[door.name, name] = alone(door, second).status
        assert found.status == statuses[door.name, name], name


# HTTP/2: one connection carries the requests of a whole page --------------------

HTTP_2_KINDS = ("early-hints", "two-lengths", "half-a-body", "reset", "no-session")
RST_STREAM, END_OF_STREAM = 3, 1
LITERAL_STATUS = b"\x48\x03"


def http_2_request(door: Door, sent: Request, stream: int) -> bytes:
    """The same as a frame of this stream."""
    first, *lines = sent.data.decode().rstrip("\r\n").split("\r\n")
    pairs = [(":method", sent.method), (":path", first.split(" ")[1])]
    pairs += [(":scheme", "http"), (":authority", door.host)]
    fields = dict(line.split(": ", 1) for line in lines)
    pairs += [(n.lower(), v) for n, v in fields.items() if n != "Host"]
    block = b"".join(
        b"\0" + b"".join(bytes([len(one)]) + one.encode() for one in pair)
        for pair in pairs
    )
    return frame(HEADERS, END_OF_STREAM_AND_HEADERS, stream, block)


def http_2_status(source: BinaryIO, stream: int) -> int | None:
    """The status of this stream's response, read to its end; None without one."""
    found = None
    while head := source.read(9):
        payload = source.read(int.from_bytes(head[:3], "big"))
        if int.from_bytes(head[5:], "big") != stream:
            continue
        if head[3] == RST_STREAM:
            return found
        if head[3] == HEADERS:
            is_literal = payload.startswith(LITERAL_STATUS)
            found = int(payload[2:5]) if is_literal else payload[0]
        if head[3] in {HEADERS, DATA} and head[4] & END_OF_STREAM:
            return found
    return None


@pytest.mark.parametrize("kind", HTTP_2_KINDS)
def test_over_http_2_the_other_streams_go_on(
    newer_door: Door, lasting_key: str, kind: str
) -> None:
    known = requests(newer_door, lasting_key)
    good = request(newer_door, lasting_key, "echo/")
    with newer_door.connect(SECONDS) as sock, sock.makefile("rb") as source:
        sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, b""))
        for stream in range(1, 12, 4):
            sock.sendall(http_2_request(newer_door, known[kind], stream))
            status = http_2_status(source, stream)
            if kind in {"early-hints", "two-lengths"}:
                assert status == 502
            sock.sendall(http_2_request(newer_door, good, stream + 2))
            assert http_2_status(source, stream + 2) == STATUS_200
