"""What of a message goes through, either way, and in which form (RFC 9110, 9112)."""

from __future__ import annotations

import gzip
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from backoffice.proxy.errors import Refusal
from tests.doors.conftest import fresh_key
from tests.doors.house import Door, proof, read_until
from tests.doors.test_contract import TARGET, is_refused
from tests.fakes.upstream import HELLO, Talk, answer, chunked, closing
from tests.journeys.site import FINANCE
from tests.waiting import wait_until

# Fewer than a process of the site has threads; and the processes of all three doors.
AT_ONCE, PROCESSES = 12, 6

# To the upstream ------------------------------------------------------------


@pytest.mark.parametrize(
    "field",
    [
        "TE: trailers",
        "Trailer: X-End",
        "Keep-Alive: timeout=9",
        "Proxy-Connection: keep-alive",
        "Proxy-Authorization: Basic eA==",
        "HTTP2-Settings: AAMAAABk",
        "Upgrade: h2c",
        "Cookie: theme=dark",
    ],
)
def test_what_is_for_us_alone_ends_here(
    door: Door, lasting_key: str, field: str
) -> None:
    assert door.ask(TARGET, field, key=lasting_key).status == 200 or "Cookie" in field
    name = field.partition(":")[0]
    assert door.house.upstream.last.all(name) == []


def test_a_field_that_connection_names_ends_here(door: Door, lasting_key: str) -> None:
    request = (
        f"GET {TARGET} HTTP/1.1\r\nHost: {door.host}\r\n"
        f"Cookie: session_id={lasting_key}\r\n"
        "Connection: close, X-Hop, X-Staff-Sub, x-other\r\n"
        "X-Hop: 1\r\nX-Other: 2\r\nConnection: X-Third\r\nX-Third: 3\r\n\r\n"
    )
    assert door.send(request.encode()).status == 200
    last = door.house.upstream.last
    assert last.all("X-Hop") + last.all("X-Other") + last.all("X-Third") == []
    assert last.all("X-Staff-Sub") == ["demo-1003"]
    assert "X-Hop" not in ",".join(last.all("Connection"))


@pytest.mark.parametrize("framing", ["Content-Length: 4", "Transfer-Encoding: chunked"])
def test_connection_takes_no_body_its_length(
    door: Door, lasting_key: str, framing: str
) -> None:
    seen = door.seen
    named = f"Connection: {framing.partition(':')[0]}, Host, close"
    body = b"body" if "4" in framing else b"4\r\nbody\r\n0\r\n\r\n"
    head = [
        "POST /api/proxy/echo/ HTTP/1.1",
        f"Host: {door.host}",
        f"Cookie: session_id={lasting_key}",
        *(*proof(door), framing, named),
    ]
    assert door.send("\r\n".join([*head, "", ""]).encode() + body).status == 200
    assert door.seen == seen + 1
    assert b"body" in door.house.upstream.last.body


def test_the_way_is_signed_after_those_who_signed_before(
    door: Door, lasting_key: str
) -> None:
    assert door.ask(TARGET, "Via: 1.0 old", key=lasting_key).status == 200
    assert door.house.upstream.last.all("Via") == ["1.0 old, 1.1 backoffice"]


def test_hops_are_counted(door: Door, lasting_key: str) -> None:
    fields = "Max-Forwards: 3"
    assert door.ask(TARGET, fields, key=lasting_key, method="OPTIONS").status == 200
    assert door.house.upstream.last.all("Max-Forwards") == ["2"]


def test_the_last_hop_answers_for_itself(door: Door, lasting_key: str) -> None:
    seen = door.seen
    fields = "Max-Forwards: 0"
    found = door.ask(TARGET, fields, key=lasting_key, method="OPTIONS")
    assert (found.status, found.get("Allow")) == (204, "GET, HEAD, OPTIONS, POST, PUT")
    assert door.seen == seen


@pytest.mark.parametrize("target", [TARGET, "localhost:80"])
@pytest.mark.parametrize("method", ["TRACE", "CONNECT"])
def test_no_echo_and_no_tunnel(
    door: Door, lasting_key: str, method: str, target: str
) -> None:
    seen = door.seen
    found = door.ask(target, key=lasting_key, method=method)
    assert found.status in {400, 404, 405, 501}
    assert lasting_key not in found.body.decode("latin-1")
    assert door.seen == seen


def test_a_client_that_asks_before_it_sends_is_answered_here(
    door: Door, lasting_key: str
) -> None:
    head = [
        "POST /api/proxy/echo/ HTTP/1.1",
        f"Host: {door.host}",
        f"Cookie: session_id={lasting_key}",
        *proof(door),
        "Content-Length: 4",
        "Expect: 100-continue",
        "Connection: close",
    ]
    with door.connect() as sock:
        sock.sendall("\r\n".join(head).encode() + b"\r\n\r\n")
        assert read_until(sock, b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
        sock.sendall(b"body")
        assert b" 200 " in read_until(sock, b"hello")
    last = door.house.upstream.last
    assert (last.body, last.all("Expect")) == (b"body", [])


@pytest.mark.parametrize("is_chunked", [False, True])
def test_an_upload_goes_on_while_it_is_being_sent(
    door: Door, lasting_key: str, is_chunked: bool
) -> None:
    """The upstream has the first piece before the client has sent the second."""
    arrived = threading.Event()

    def taking(talk: Talk) -> None:
        if talk.unread or talk.sock.recv(1):
            arrived.set()

    head = [
        f"POST /api/proxy/bulk/{door.act(taking)} HTTP/1.1",
        f"Host: {door.host}",
        f"Cookie: session_id={lasting_key}",
        *proof(door),
        "Transfer-Encoding: chunked" if is_chunked else "Content-Length: 200000",
    ]
    piece = b"x" * 100_000
    if is_chunked:
        piece = chunked(piece, end=b"")
    door.house.upstream.hears = False
    try:
        with door.connect() as sock:
            sock.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + piece)
            assert arrived.wait(60)
    finally:
        door.house.upstream.hears = True


def test_events_arrive_as_they_are_made(door: Door, lasting_key: str) -> None:
    """The second is made once the client has seen the first."""
    heard = threading.Event()

    def events(talk: Talk) -> None:
        talk.say(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        talk.say(b"data: 1\n\n")
        if heard.wait(60):
            talk.say(b"data: 2\n\n")

    target = f"/api/proxy/echo/{door.act(events)}"
    with door.open(target, lasting_key) as sock:
        assert b"data: 1\n\n" in read_until(sock, b"data: 1\n\n")
        heard.set()
        assert b"data: 2\n\n" in read_until(sock, b"data: 2\n\n")


def test_few_connections_are_kept_and_none_for_long(
    door: Door, lasting_key: str
) -> None:
    """Kept ones serve the next calls; those of a busy moment are let go again."""
    upstream, target = door.house.shared, "/api/proxy/shared/"
    together = threading.Barrier(AT_ONCE)

    def act(talk: Talk) -> bool:
        together.wait(60)
        talk.say(HELLO)
        return True

    busy = f"{target}{door.act(act)}"
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = pool.map(lambda _: door.ask(busy, key=lasting_key), range(AT_ONCE))
        assert {answer.status for answer in answers} == {200}

    def are_kept() -> bool:
        before = upstream.connections
        for _ in range(20):
            assert door.ask(target, key=lasting_key).status == 200
        return upstream.connections - before < 10

    # A busy machine may take longer between two calls than a connection is kept.
    assert wait_until(are_kept)

    def few_are_left() -> bool:
        return (
            door.ask(target, key=lasting_key).status == 200
            and len(upstream.open) <= PROCESSES
        )

    assert wait_until(few_are_left)


def test_nobody_gets_what_another_one_left(door: Door, lasting_key: str) -> None:
    """No jar of cookies, no connection that remembers who used it."""
    planting = door.act(closing(answer(fields=[("Set-Cookie", "who=kim; Path=/")])))
    found = door.ask(f"/api/proxy/short/{planting}", key=lasting_key)
    assert (found.status, found.all("Set-Cookie")) == (200, [])
    assert door.ask("/api/proxy/short/", key=fresh_key(door.house, FINANCE))
    last = door.house.upstream.last
    assert (last.all("Cookie"), last.all("X-Staff-Sub")) == ([], [FINANCE])


# Upstreams of other kinds ---------------------------------------------------


def test_an_upstream_may_be_a_unix_socket(door: Door, lasting_key: str) -> None:
    assert door.ask("/api/proxy/socket/a%2Fb?x", key=lasting_key).content == b"hello"
    last = door.house.by_socket.last
    assert (last.target, last.all("Host")) == (b"/v1/a%2Fb?x", ["localhost"])
    assert last.all("X-Staff-Sub") == ["demo-1003"]


def test_an_upstream_may_be_behind_tls(door: Door, lasting_key: str) -> None:
    assert door.ask("/api/proxy/secure/x", key=lasting_key).content == b"hello"
    last = door.house.secure.last
    assert (last.target, last.all("X-Staff-Sub")) == (b"/v1/x", ["demo-1003"])


def test_a_certificate_nobody_vouches_for_is_no_upstream(
    door: Door, lasting_key: str
) -> None:
    seen = len(door.house.secure.requests)
    found = door.ask("/api/proxy/doubtful/", key=lasting_key)
    assert is_refused(found, Refusal.UPSTREAM_DOWN)
    assert len(door.house.secure.requests) == seen


# To the browser -------------------------------------------------------------


def test_what_an_upstream_says_to_us_alone_ends_here(
    door: Door, lasting_key: str
) -> None:
    fields = [
        ("Connection", "close, X-Hop, x-other, Vary, X-Content-Type-Options"),
        ("X-Hop", "1"),
        ("X_Hop", "1"),
        ("X-Other", "1"),
        ("Keep-Alive", "timeout=99"),
        ("Proxy-Authenticate", "Basic"),
        ("Trailer", "X-End"),
        ("Upgrade", "h2c"),
        ("X-End-To-End", "1"),
    ]
    target = door.act(closing(answer(fields=fields, body=b"hello")))
    found = door.ask(f"/api/proxy/echo/{target}", key=lasting_key)
    assert (found.content, found.all("X-End-To-End")) == (b"hello", ["1"])
    for name in (
        "Proxy-Authenticate",
        "Trailer",
        "Upgrade",
        "X-Hop",
        "X_Hop",
        "X-Other",
    ):
        assert found.all(name) == [], name
    assert "timeout=99" not in found.head
    assert "X-Hop" not in found.head
    assert found.all("X-Content-Type-Options") == ["nosniff"]
    assert found.all("Vary") == ["Cookie"]
    assert found.all("Cache-Control") == ["no-store"]
    assert len(found.all("X-Request-Id")) == 1


def test_a_redirect_is_handed_on_and_not_followed(door: Door, lasting_key: str) -> None:
    inside = f"{door.house.upstream.url}/secret"
    seen = door.seen
    for place in ("http://169.254.169.254/latest/meta-data/", inside, "/x"):
        found = answer("302 Found", [("Location", place)])
        target = door.act(closing(found))
        told = door.ask(f"/api/proxy/echo/{target}", key=lasting_key)
        assert (told.status, told.all("Location")) == (302, [place])
    assert door.seen == seen + 3


def test_an_answer_may_have_a_long_head(door: Door, lasting_key: str) -> None:
    fields = [("X-Long", "a" * 30_000), ("X-Longer", "b" * 30_000)]
    target = door.act(closing(answer(fields=[*fields, ("Connection", "close")])))
    found = door.ask(f"/api/proxy/echo/{target}", key=lasting_key)
    assert [(name, found.get(name)) for name, _ in fields] == fields


def test_compressed_bytes_pass_untouched(door: Door, lasting_key: str) -> None:
    body = gzip.compress(b"\0" * 1_000_000)
    fields = [("Content-Encoding", "gzip"), ("Content-Type", "text/plain")]
    target = door.act(closing(answer(fields=fields, body=body)))
    for accepted in ("Accept-Encoding: gzip", "Accept-Encoding: identity"):
        found = door.ask(f"/api/proxy/echo/{target}", accepted, key=lasting_key)
        assert (found.get("Content-Encoding"), found.content) == ("gzip", body)


def test_nothing_is_compressed_here(door: Door, lasting_key: str) -> None:
    """A secret beside a text of the caller's choice would show in the length."""
    found = door.ask(TARGET, "Accept-Encoding: gzip", key=lasting_key)
    assert (found.get("Content-Encoding"), found.content) == (None, b"hello")


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_an_answer_without_a_body_stays_one(
    door: Door, lasting_key: str, status: str
) -> None:
    data = f'HTTP/1.1 {status}\r\nETag: "1"\r\n\r\n'.encode()
    target = door.act(closing(data))
    asked = 'If-None-Match: "1"'
    found = door.ask(f"/api/proxy/echo/{target}", asked, key=lasting_key)
    assert found.status == int(status[:3])
    assert (found.body, found.all("Transfer-Encoding")) == (b"", [])
    assert found.all("ETag") == ['"1"']
    assert door.house.upstream.last.all("If-None-Match") == ['"1"']


def test_head_has_the_length_and_no_body(door: Door, lasting_key: str) -> None:
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5000\r\n\r\n"
    )
    target = door.act(closing(head))
    found = door.ask(f"/api/proxy/echo/{target}", key=lasting_key, method="HEAD")
    assert (found.status, found.body) == (200, b"")
    assert found.all("Content-Length") == ["5000"]
    assert door.house.upstream.last.line.startswith(b"HEAD ")


@pytest.mark.parametrize(
    ("kind", "extent"),
    [
        ("text/plain", [("Content-Range", "bytes 2-4/10")]),
        ("multipart/byteranges; boundary=x", []),
    ],
)
def test_a_part_comes_as_a_part(
    door: Door, lasting_key: str, kind: str, extent: list[tuple[str, str]]
) -> None:
    fields = [("Content-Type", kind), *extent]
    part = answer("206 Partial Content", fields, b"cde")
    target = door.act(closing(part))
    found = door.ask(f"/api/proxy/echo/{target}", "Range: bytes=2-4", key=lasting_key)
    assert (found.status, found.content) == (206, b"cde")
    assert found.all("Content-Type") == [kind]
    assert found.all("Content-Range") == [value for _, value in extent]
    assert door.house.upstream.last.all("Range") == ["bytes=2-4"]


def test_fields_that_come_twice_leave_twice(door: Door, lasting_key: str) -> None:
    fields = [("Link", "</a>; rel=a"), ("X-One", "1"), ("Link", "</b>; rel=b")]
    target = door.act(closing(answer(fields=fields)))
    found = door.ask(f"/api/proxy/echo/{target}", key=lasting_key)
    assert found.all("Link") == ["</a>; rel=a", "</b>; rel=b"]


# Older forms ----------------------------------------------------------------


def request_of(door: Door, key: str, version: str, *fields: str) -> bytes:
    lines = [f"GET {TARGET} {version}".rstrip(), f"Cookie: session_id={key}", *fields]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def test_a_call_of_http_1_0_is_answered_in_its_form(
    door: Door, lasting_key: str
) -> None:
    target = door.act(
        closing(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"5\r\nhello\r\n0\r\n\r\n"
        )
    )
    request = request_of(door, lasting_key, "HTTP/1.0", f"Host: {door.host}")
    path = f"/api/proxy/echo/{target}"
    found = door.send(request.replace(TARGET.encode(), path.encode()))
    assert (found.status, found.body) == (200, b"hello")
    assert found.all("Transfer-Encoding") == []


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
def test_a_call_that_names_no_host_is_refused(
    door: Door, lasting_key: str, version: str
) -> None:
    seen = door.seen
    assert door.send(request_of(door, lasting_key, version)).status == 400
    assert door.seen == seen


@pytest.mark.parametrize("version", ["", "HTTP/0.9", "HTTP/2.0", "http/1.1"])
def test_a_call_of_another_version_does_not_pass(
    door: Door, lasting_key: str, version: str
) -> None:
    seen = door.seen
    host = f"Host: {door.host}"
    found = door.send(request_of(door, lasting_key, version, host))
    # Version 0.9 has no status line; an error page is then all that comes.
    assert found.status in {0, 400, 401, 505}
    assert b"hello" not in found.body
    assert door.seen == seen


def test_an_address_that_is_too_long_is_refused(door: Door, lasting_key: str) -> None:
    seen = door.seen
    target = f"/api/proxy/kept/{'a' * 9000}"
    assert door.ask(target, key=lasting_key).status in {400, 414}
    assert door.seen == seen
