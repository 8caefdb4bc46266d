"""The head of a request, line by line: how each ends, how many there are, and what came
twice, at each door (RFC 9112, 2.2 and 5)."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from backoffice.proxy.errors import Refusal
from tests.doors.house import DOORS, Door, House
from tests.doors.server import running_nginx

# The lines of a head with how each ends; `%s` is the rest of a proper one.
BARE = {
    "everywhere": "GET {} HTTP/1.1\n%s\n\n",
    "after-the-first": "GET {} HTTP/1.1\n%s\r\n\r\n",
    "after-a-field": "GET {} HTTP/1.1\r\nX-A: 1\n%s\r\n\r\n",
    "after-nothing": "GET {} HTTP/1.1\r\nX-A:\n%s\r\n\r\n",
    "after-blanks": "GET {} HTTP/1.1\r\nX-A: 1  \n%s\r\n\r\n",
    "beside-a-blank": "GET {} HTTP/1.1\r\nX-A: 1 \r\nX-B: 2\n%s\r\n\r\n",
    "after-a-blank-and-the-last": "GET {} HTTP/1.1\r\nX-A: 1 \r\n%s\n\r\n",
    "after-a-tab": "GET {} HTTP/1.1\r\nX-A: 1\t\n%s\r\n\r\n",
    "made-up-for": "GET {} HTTP/1.1\r\nX-A:  1\nX-B: 1 \r\n%s\r\n\r\n",
    "after-what-is-dropped": "GET {} HTTP/1.1\r\nX_A: 1\nX_B: 2\r\n%s\r\n\r\n",
    "after-what-we-take": "GET {} HTTP/1.1\r\nX-Staff-A: 1\n%s\r\n\r\n",
    "between-what-we-take": (
        "GET {} HTTP/1.1\r\nX-Staff-A: 1\nX-Staff-B: 2\r\n%s\r\n\r\n"
    ),
    "after-the-last": "GET {} HTTP/1.1\r\n%s\n\r\n",
    "at-the-end": "GET {} HTTP/1.1\r\n%s\r\n\n",
    "far-behind": "GET {} HTTP/1.1\r\n%s\r\nX-A: " + "a" * 6000 + "\n\r\n",
    "far-before": "GET {} HTTP/1.1\r\nX-A: 1\nX-B: " + "a" * 6000 + "\r\n%s\r\n\r\n",
}


@pytest.mark.parametrize("form", BARE.values(), ids=BARE.keys())
@pytest.mark.parametrize("session", [True, False])
def test_a_bare_line_feed_is_refused(
    door: Door, lasting_key: str, form: str, session: bool
) -> None:
    seen = door.seen
    rest = [f"Host: {door.host}", "Connection: close"]
    if session:
        rest.append(f"Cookie: session_id={lasting_key}")
    end = "\n" if form == BARE["everywhere"] else "\r\n"
    request = form.format("/api/proxy/bulk/") % end.join(rest)
    answer = door.send(request.encode())
    assert (answer.status, door.seen) == (400, seen)
    assert answer.word == (None if door.name == "embedded" else "bad-head")


@pytest.mark.parametrize(
    "line",
    [
        *("X-A: \x01", "X-A: a\x1fb", "X-A: \x7f", "X-A: \x0b", "X_A: \x01"),
        *("X-Staff-A: \x01", "no colon", ": no name", "X(A: 1", "X-\xe9: 1", "X A: 1"),
        *("X-A: 1\r X-B: 2", "X-A: 1\r\n folded", "X-A : 1"),
    ],
)
def test_a_line_that_is_no_field_is_refused(
    door: Door, lasting_key: str, line: str
) -> None:
    seen = door.seen
    answer = door.ask("/api/proxy/kept/", line.encode("latin-1"), key=lasting_key)
    assert (answer.status, door.seen) == (400, seen)


@pytest.mark.parametrize(
    "line",
    [
        "X-A:1",
        "X-A: ",
        "X-A:\t1  ",
        "X-A: 1 ",
        "X-A:  1 2 \r\nX-B: 1\t ",
        "X_A: 1 \r\nX-Staff-A: 1 ",
        "X-A: \xe9\xff",
        "X.A!~: 1",
        "X_A: 1",
        "X-Staff-A: 1",
    ],
)
def test_a_line_of_another_form_passes(door: Door, lasting_key: str, line: str) -> None:
    lines = [f"Cookie: session_id={lasting_key}", line]
    for fields in (lines, lines[::-1]):
        named = [field.encode("latin-1") for field in fields]
        assert door.ask("/api/proxy/kept/", *named).status == 200


@pytest.mark.parametrize(
    "before",
    [
        *("GET {} HTTP/1.1 ", "GET  {} HTTP/1.1", "GET {} HTTP/1.2  "),
        *(" GET {} HTTP/1.1", "GET {} HTTP/1.01", "GET {} HTTP/1.10"),
    ],
)
def test_a_first_line_of_another_form_is_refused(
    door: Door, lasting_key: str, before: str
) -> None:
    seen = door.seen
    rest = [f"Host: {door.host}", f"Cookie: session_id={lasting_key}"]
    lines = before.format("/api/proxy/kept/"), *rest, "Connection: close"
    answer = door.send("\r\n".join([*lines, "", ""]).encode())
    assert (answer.status, door.seen) == (400, seen)


# Names that pass, that the web server drops, and that we take away; values; line ends.
NAMES = ("X-A", "X-A", "X_A", "X-Staff-A", "Proxy-A", "Accept")
VALUES = ("", " ", "1", " 1", "  1", " 1  ", " 1\t", " a: b", " " + "1" * 1500)
# Behind this one nginx shows no bare line feed (docs/doors.md).
ONE_BLANK = " 1 "
ENDS = ("\r\n",) * 12 + ("\n",)
ROUNDS = 300


def test_the_doors_agree_on_line_ends_that_chance_makes(
    house: House, lasting_key: str
) -> None:
    chance = random.Random(20261129)  # noqa: S311 - the same heads each time
    found = set()
    for _ in range(ROUNDS):
        lines = [
            chance.choice(NAMES) + ":" + chance.choice((*VALUES, ONE_BLANK))
            for _ in range(chance.randint(0, 6))
        ]
        ends = [chance.choice(ENDS) for _ in range(len(lines) + 5)]
        for place, line in enumerate(lines, 2):
            if line.endswith(f":{ONE_BLANK}"):
                ends[place] = ENDS[0]
        statuses = set()
        for name in DOORS:
            door = house.door(name)
            whole = [
                "GET /api/proxy/kept/ HTTP/1.1",
                f"Host: {door.host}",
                *lines,
                f"Cookie: session_id={lasting_key}",
                "Connection: close",
                "",
            ]
            request = "".join(map("".join, zip(whole, ends, strict=True)))
            statuses.add(door.send(request.encode()).status)
        assert len(statuses) == 1, request
        found |= statuses
    assert found == {200, 400}


def test_too_many_fields_are_refused(door: Door, lasting_key: str) -> None:
    seen = door.seen
    fields = [f"X-{number}: 1" for number in range(100)]
    answer = door.ask("/api/proxy/kept/", *fields, key=lasting_key)
    assert (answer.status, door.seen) == (Refusal.HEADER_TOO_LARGE.status, seen)
    assert door.ask("/api/proxy/kept/", *fields[:90], key=lasting_key).status == 200


@pytest.mark.parametrize("first", ["theme=dark", "", "session_id=other"])
def test_two_lines_of_cookies_are_no_session(
    door: Door, lasting_key: str, first: str
) -> None:
    """No browser sends two (RFC 6265, 5.4), and readers join them in different ways."""
    lines = [f"Cookie: {first}", f"Cookie: session_id={lasting_key}"]
    for fields in (lines, lines[::-1], ["X-Long: " + "x" * 1500, *lines]):
        assert door.ask("/api/proxy/echo/", *fields).status == 401


# HTTP/2, which only nginx speaks here -----------------------------------------

SETTINGS, HEADERS, DATA = 4, 1, 0
END_OF_STREAM_AND_HEADERS = 5
STATUS_200 = 0x88


@pytest.fixture(scope="module", params=["check", "script"])
def newer_door(
    house: House,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Door]:
    folder: Path = tmp_path_factory.mktemp("http2")
    with running_nginx(house.site, folder, request.param, protocol="http2") as address:
        yield Door(house, request.param, address)


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    size = len(payload).to_bytes(3, "big")
    return size + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def asked_with(door: Door, *fields: tuple[str, str]) -> tuple[int, bytes]:
    """The first byte of the answer's fields (RFC 7541, 6.1), and its body."""
    pairs = [
        *((":method", "GET"), (":scheme", "http"), (":authority", door.host)),
        *((":path", "/api/proxy/echo/"), *fields),
    ]
    block = b"".join(
        b"\0" + b"".join(bytes([len(one)]) + one.encode() for one in pair)
        for pair in pairs
    )
    first, body = 0, b""
    with door.connect() as sock, sock.makefile("rb") as stream:
        sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, b""))
        sock.sendall(frame(HEADERS, END_OF_STREAM_AND_HEADERS, 1, block))
        while True:
            head = stream.read(9)
            payload = stream.read(int.from_bytes(head[:3], "big"))
            if head[3] == HEADERS:
                first = payload[0]
            elif head[3] == DATA:
                body += payload
            if head[3] in {HEADERS, DATA} and head[4] & 1:
                return first, body


def test_http_2_may_bring_cookies_in_crumbs(newer_door: Door, lasting_key: str) -> None:
    """Browsers do (RFC 9113, 8.2.3)."""
    crumbs = ("cookie", "theme=dark"), ("cookie", f"session_id={lasting_key}")
    assert asked_with(newer_door, *crumbs) == (STATUS_200, b"hello")
    assert newer_door.house.upstream.last.all("Cookie") == []
    assert asked_with(newer_door, *crumbs, crumbs[1])[0] != STATUS_200
