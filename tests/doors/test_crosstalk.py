"""No byte of a response reaches another person, whatever the upstream sends and when.

The upstream holds its late bytes back until the next request comes on the same
connection: where none ever comes, there is nobody to get them.
"""

from __future__ import annotations

import pytest

from tests.doors.conftest import fresh_key
from tests.doors.house import Door, House, proof
from tests.fakes.upstream import HELLO, Answer, Talk, answer
from tests.journeys.site import FINANCE

PLANTED = answer(body=b"planted")
# Each entrance has two processes, with connections of their own.
ATTEMPTS = 8

SPOILERS: dict[str, tuple[str, bytes, bytes]] = {
    "HEAD, late body": ("HEAD", answer(body=b"x" * 50)[:-50], PLANTED),
    "HEAD, late chunks": (
        "HEAD",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"7\r\nplanted\r\n0\r\n\r\n",
    ),
    "204, late body": ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", PLANTED),
    "304, late body": ("GET", b"HTTP/1.1 304 Not Modified\r\n\r\n", PLANTED),
    "second response": ("GET", HELLO, PLANTED),
    "longer than its length": ("GET", HELLO, b"planted" + PLANTED),
    "late 100": ("GET", HELLO, b"HTTP/1.1 100 Continue\r\n\r\n" + PLANTED),
}


def then_late(first: bytes, late: bytes) -> Answer:
    def act(talk: Talk) -> bool:
        talk.say(first)
        if talk.hear() is None:
            return False
        talk.say(late)
        return False

    return act


@pytest.fixture(scope="module")
def other_key(house: House) -> str:
    """The session key of somebody else."""
    return fresh_key(house, FINANCE)


@pytest.mark.parametrize("name", SPOILERS)
@pytest.mark.parametrize("route", ["kept", "once"])
def test_late_bytes_reach_no_other_person(
    door: Door, lasting_key: str, other_key: str, route: str, name: str
) -> None:
    method, first, late = SPOILERS[name]
    target = door.act(then_late(first, late))
    for _ in range(ATTEMPTS):
        door.ask(f"/api/proxy/{route}/{target}", key=lasting_key, method=method)
        found = door.ask(f"/api/proxy/{route}/", key=other_key)
        assert (found.status, found.content) == (200, b"hello")


@pytest.mark.parametrize("name", SPOILERS)
def test_where_connections_are_not_kept_late_bytes_reach_no_other_request(
    door: Door, lasting_key: str, name: str
) -> None:
    """Nginx keeps none for a person either: it has no pool for each."""
    method, first, late = SPOILERS[name]
    target = door.act(then_late(first, late))
    for route in ("once",) if door.name == "embedded" else ("once", "kept"):
        for _ in range(ATTEMPTS):
            door.ask(f"/api/proxy/{route}/{target}", key=lasting_key, method=method)
            found = door.ask(f"/api/proxy/{route}/", key=lasting_key)
            assert (found.status, found.content) == (200, b"hello")


@pytest.mark.parametrize("name", list(SPOILERS)[:4])
def test_a_shared_connection_is_not_used_after_a_response_without_a_body(
    door: Door, lasting_key: str, other_key: str, name: str
) -> None:
    """At nginx: where such a response is to be expected."""
    method, first, late = SPOILERS[name]
    fields = ["If-None-Match: x"] if first.startswith(b"HTTP/1.1 304") else []
    if first.startswith(b"HTTP/1.1 204"):
        method, fields = "DELETE", [*proof(door)]
    target = f"/api/proxy/shared/{door.act(then_late(first, late))}"
    for _ in range(ATTEMPTS):
        door.ask(target, *fields, key=lasting_key, method=method)
        found = door.ask("/api/proxy/shared/", key=other_key)
        assert (found.status, found.content) == (200, b"hello")


def test_a_shared_connection_is_not_used_after_a_request_with_a_body(
    door: Door, lasting_key: str, other_key: str
) -> None:
    """An upstream that does not read it takes it for the next request."""
    target = f"/api/proxy/shared/{door.act(then_late(HELLO, PLANTED))}"
    body = b"GET /smuggled HTTP/1.1\r\nX-Staff-User: root\r\n\r\n"
    fields = *proof(door), f"Content-Length: {len(body)}"
    for _ in range(ATTEMPTS):
        door.ask(target, *fields, key=lasting_key, method="POST", body=body)
        assert door.house.shared.last.get("Connection") == "close"
        found = door.ask("/api/proxy/shared/", key=other_key)
        assert (found.status, found.content) == (200, b"hello")


@pytest.mark.parametrize("route", ["socket", "once", "trusted"])
def test_the_upstream_is_told_when_a_connection_is_not_used_again(
    door: Door, lasting_key: str, route: str
) -> None:
    """At upstreams that no other test has plant anything."""
    house = door.house
    asked = {"socket": house.by_socket, "once": house.upstream}
    upstream = asked.get(route, house.trusted)

    def proper(talk: Talk) -> bool:
        is_head = talk.last.line.startswith(b"HEAD ")
        talk.say(HELLO.removesuffix(b"hello") if is_head else HELLO)
        return True

    target, said = f"/api/proxy/{route}/{door.act(proper)}", []
    for method in ("GET", "HEAD"):
        found = door.ask(target, key=lasting_key, method=method)
        assert found.status == 200
        said.append(upstream.last.get("Connection"))
    is_kept = route == "trusted" or (route == "socket" and door.name == "embedded")
    assert said == [None if is_kept else "close", "close"]


def test_shared_connections_are_used_again(
    door: Door, lasting_key: str, other_key: str
) -> None:
    before = door.house.trusted.connections
    for _ in range(ATTEMPTS):
        for key in (lasting_key, other_key):
            assert door.ask("/api/proxy/trusted/", key=key).status == 200
    assert door.house.trusted.connections - before < 2 * ATTEMPTS


def test_one_s_own_connections_are_used_again_at_the_embedded_entrance(
    house: House, lasting_key: str
) -> None:
    door = house.door("embedded")
    before = house.by_socket.connections
    for _ in range(ATTEMPTS):
        assert door.ask("/api/proxy/socket/", key=lasting_key).status == 200
    assert house.by_socket.connections - before < ATTEMPTS
