"""Paths, cookies and framing that mean two things, at each door, over bare sockets.

What one door refuses, all refuse, and nothing of it reaches the upstream.
"""

from __future__ import annotations

import pytest

from tests.backoffice.proxy.test_paths import AMBIGUOUS, OTHER_SPELLINGS
from tests.doors.house import Door, House, proof
from tests.journeys.site import COOKIE

# No request line can hold an empty target, and this one is the site's own front page.
NOT_HERE = {"", "http://site.example"}
TRICKS = sorted(
    path.replace("members", "echo")
    for path in {*AMBIGUOUS, *OTHER_SPELLINGS} - NOT_HERE
)


@pytest.mark.parametrize("target", TRICKS)
def test_a_path_that_means_two_things_is_refused(
    door: Door, lasting_key: str, target: str
) -> None:
    target = target.replace("site.example", door.host)
    seen = door.seen
    answer = door.ask(target.encode("utf-8"), key=lasting_key)
    assert 400 <= answer.status < 500 or answer.status == 0
    assert door.seen == seen


@pytest.mark.parametrize("target", [path for path in AMBIGUOUS if path.isascii()])
def test_below_the_prefix_it_is_400(door: Door, lasting_key: str, target: str) -> None:
    if not target.startswith("/api/proxy/") or any(
        sign in target for sign in " \t\r\n"
    ):
        pytest.skip("not below the prefix, or no request line")
    answer = door.ask(target.replace("members", "echo"), key=lasting_key)
    assert answer.status == 400


@pytest.mark.parametrize(
    "rest",
    [
        "@evil.example",
        ":80@evil.example/",
        "//evil.example/",
        "\\evil.example",
        "http://x",
    ],
)
def test_no_path_names_another_server(door: Door, lasting_key: str, rest: str) -> None:
    seen = door.seen
    for target in (f"/api/proxy/{rest}", f"/api/proxy/echo{rest}"):
        assert door.ask(target, key=lasting_key).status in {400, 404}, target
    assert door.seen == seen


def test_what_looks_like_a_server_is_a_part_of_the_path(
    door: Door, lasting_key: str
) -> None:
    assert door.ask("/api/proxy/echo/@evil.example:80/x", key=lasting_key).status == 200
    assert door.house.upstream.last.target == b"/v1/@evil.example:80/x"


def test_an_absolute_target_with_our_own_host_passes(
    door: Door, lasting_key: str
) -> None:
    target = f"http://{door.host}/api/proxy/echo/x"
    assert door.ask(target, key=lasting_key).status == 200
    assert door.house.upstream.last.target == b"/v1/x"


# Cookies --------------------------------------------------------------------


@pytest.mark.parametrize(
    "form",
    [
        [b"Cookie: session_id=%s"],
        [b"Cookie: a=b; session_id=%s; c=d"],
        [b"Cookie: session_id=%s;"],
        [b"Cookie:  session_id = %s ; x"],
        [b"Cookie: __Host-session_id=other; session_id=%s"],
        [b"Cookie: x=session_id=other; session_id=%s"],
    ],
)
def test_one_proper_cookie_passes(
    door: Door, lasting_key: str, form: list[bytes]
) -> None:
    fields = [line.replace(b"%s", lasting_key.encode()) for line in form]
    assert door.ask("/api/proxy/echo/", *fields).status == 200


@pytest.mark.parametrize(
    "form",
    [
        [b"Cookie: session_id=%s; session_id=%s"],
        [b"Cookie: session_id=%s; session_id=other"],
        [b"Cookie: session_id=other; session_id=%s"],
        [b"Cookie: session_id; session_id=%s"],
        [b"Cookie: session_id=%s; session_id"],
        [b"Cookie: session_id=; session_id=%s"],
        [b"Cookie: session_id=%s", b"Cookie: session_id=%s"],
        [b"Cookie: session_id=%s", b"Cookie: session_id=other"],
        [b'Cookie: session_id="%s"'],
        [b"Cookie: session_id=%s\x00"],
        [b"Cookie: session_id=%s\x01"],
        [b"Cookie: session_id=%s%%00"],
        [b"Cookie: session_id=\xff%s"],
        [b"Cookie: session_id=%s\xa0"],
        [b"Cookie: session_id=%s \xe2\x80\xa8"],
        [b"Cookie: session_id=%sx"],
        [b"Cookie: session_id=%s, x=y"],
        [b"Cookie: session_id=x%s"],
        [b"Cookie: Session_Id=%s"],
        [b"Cookie: __Host-session_id=%s"],
        [b"Cookie: __Secure-session_id=%s"],
        [b"Cookie: xsession_id=%s"],
        [b"Cookie: session_idx=%s"],
        [b"Cookie: session_id==%s"],
        [b"Cookie:"],
        [b"Cookie: session_id="],
        [b"Cookie: =%s"],
        [b"Cookie: %s"],
        [b"Cookie: session_id=" + b"a" * 8192],
        [b"Cookie: session_id=*"],
        [b"Cookie: " + b"; ".join(b"c%d=x" % n for n in range(200))],
        [b"X-Session-Id: %s"],
        [b"Authorization: Bearer %s"],
    ],
)
def test_any_other_cookie_is_refused_without_a_trace(
    door: Door, lasting_key: str, form: list[bytes]
) -> None:
    seen = door.seen
    key = lasting_key.encode()
    fields = [line.replace(b"%s", key).replace(b"%%", b"%") for line in form]
    answer = door.ask("/api/proxy/echo/", *fields)
    assert answer.status in {400, 401}
    assert not answer.all("Set-Cookie")
    assert lasting_key not in answer.head
    assert door.seen == seen


def test_a_key_in_the_address_is_no_session(door: Door, lasting_key: str) -> None:
    target = f"/api/proxy/echo/?{COOKIE}={lasting_key}"
    assert door.ask(target).status == 401


# Framing (RFC 9112, 6 and 11.2) ----------------------------------------------


FRAMINGS = [
    [b"Content-Length: 5", b"Transfer-Encoding: chunked"],
    [b"Transfer-Encoding: chunked", b"Content-Length: 5"],
    [b"Content-Length: 5", b"Content-Length: 6"],
    [b"Content-Length: 5", b"Content-Length: 5"],
    [b"Content-Length: 5, 5"],
    [b"Transfer-Encoding: xchunked"],
    [b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"],
    [b"Transfer-Encoding: chunked, identity"],
    [b"Transfer-Encoding : chunked"],
    [b"Transfer-Encoding: chunked\r\n folded"],
    [b"Content-Length: +4"],
    [b"Content-Length: 4 4"],
    [b"Content-Length: 0x4"],
    [b"Content-Length: -1"],
    [b"X-Bad\x00: 1"],
    [b"X Bad: 1"],
]


@pytest.mark.parametrize("fields", FRAMINGS)
def test_framing_that_means_two_things_is_refused(
    door: Door, lasting_key: str, fields: list[bytes]
) -> None:
    seen = door.seen
    body = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    target = "/api/proxy/echo/"
    answer = door.ask(
        target, *proof(door), *fields, key=lasting_key, method="POST", body=body
    )
    assert 400 <= answer.status < 600 or answer.status == 0
    assert door.seen == seen


def test_two_hosts_are_refused(door: Door, lasting_key: str) -> None:
    seen = door.seen
    answer = door.ask("/api/proxy/echo/", b"Host: evil.example", key=lasting_key)
    assert answer.status == 400
    assert door.seen == seen


def test_chunks_reach_the_upstream_in_one_framing(door: Door, lasting_key: str) -> None:
    answer = door.ask(
        "/api/proxy/echo/",
        *proof(door),
        b"Transfer-Encoding: chunked",
        key=lasting_key,
        method="POST",
        body=b"4\r\nbody\r\n0\r\n\r\n",
    )
    assert answer.status == 200
    last = door.house.upstream.last
    assert b"body" in last.body
    assert len(last.all("Content-Length") + last.all("Transfer-Encoding")) == 1


# Hosts ----------------------------------------------------------------------

HOSTS = {
    **{"{}": True, "LOCALHOST:{port}": True, "127.0.0.1": True, "localhost.": True},
    **{"localhost:1": True, "localhost.:1": True, "localhost:": False},
    **{"localhost.evil.example": False, "evil.example": False, "localhost..": False},
    **{"localhost:x": False, "localhost:1:2": False, "user@localhost": False},
    **{"localhost, evil.example": False, "localhost/": False, "[::1]": False},
    **{"": False, "localhost\\": False, ".localhost": False, "*": False},
}


@pytest.mark.parametrize(("host", "is_served"), HOSTS.items())
def test_the_doors_agree_on_hosts(
    door: Door, lasting_key: str, host: str, is_served: bool
) -> None:
    port = door.host.rpartition(":")[2]
    named = host.format(door.host, port=port)
    request = (
        f"GET /api/proxy/echo/ HTTP/1.1\r\nHost: {named}\r\nConnection: close\r\n"
        f"Cookie: session_id={lasting_key}\r\n\r\n"
    )
    seen = door.seen
    assert door.send(request.encode()).status == (200 if is_served else 400)
    assert door.seen - seen == is_served
    if is_served:
        upstream = door.house.upstream
        assert upstream.last.all("Host") == [upstream.url.removeprefix("http://")]


def test_no_client_says_where_the_site_begins(house: House, lasting_key: str) -> None:
    # Most servers in front pass names with underscores on.
    door = house.door("embedded")
    begins = "Script_Name: /x"
    assert door.ask("/x/gate/fence", begins, method="POST").status == 404
    assert door.ask("/api/proxy/echo/", begins, key=lasting_key).status == 200
