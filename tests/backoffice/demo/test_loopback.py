from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator

import pytest

from backoffice.demo.loopback import LoopbackServer, is_loopback
from backoffice.demo.messages import KEPT_BODY_BYTES, Request, Response, json_response


def answer(request: Request) -> Response:
    match request.path:
        case "/blocks":
            return Response(200, (), iter([b"one", b"two"]))
        case "/nothing":
            return Response(204, (), b"never sent")
        case "/fails":
            raise RuntimeError("on purpose")
    return json_response({"target": request.target, "size": request.body_size})


@pytest.fixture(scope="module")
def server() -> Iterator[LoopbackServer]:
    server = LoopbackServer(answer).start()
    yield server
    server.stop()


@pytest.fixture
def connection(server: LoopbackServer) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection(server.host, server.port, timeout=60)
    yield connection
    connection.close()


def raw(server: LoopbackServer, request: bytes) -> bytes:
    """Everything the server answers to these bytes until it hangs up."""
    with socket.create_connection((server.host, server.port), timeout=60) as client:
        client.sendall(request)
        return b"".join(iter(lambda: client.recv(65536), b""))


def test_connection_serves_many_requests(
    connection: http.client.HTTPConnection,
) -> None:
    for method in ("GET", "PUT", "PROPFIND"):
        connection.request(method, "/", body=b"12345")
        assert b'"size": 5' in connection.getresponse().read()


def test_body_in_blocks_is_chunked(connection: http.client.HTTPConnection) -> None:
    connection.request("GET", "/blocks")
    response = connection.getresponse()
    assert response.getheader("Transfer-Encoding") == "chunked"
    assert response.read() == b"onetwo"
    connection.request("GET", "/")
    assert connection.getresponse().read()


def test_body_in_blocks_ends_with_the_connection_for_http_1_0(
    server: LoopbackServer,
) -> None:
    reply = raw(server, b"GET /blocks HTTP/1.0\r\nHost: localhost\r\n\r\n")
    assert reply.endswith(b"\r\n\r\nonetwo")
    assert b"chunked" not in reply


@pytest.mark.parametrize("path", ["/", "/blocks"])
def test_head_has_no_body(connection: http.client.HTTPConnection, path: str) -> None:
    connection.request("HEAD", path)
    assert connection.getresponse().read() == b""
    connection.request("GET", "/")
    assert b'"target": "/"' in connection.getresponse().read()


def test_answer_without_content_has_no_framing(
    connection: http.client.HTTPConnection,
) -> None:
    connection.request("GET", "/nothing")
    response = connection.getresponse()
    assert response.read() == b""
    assert response.getheader("Content-Length") is None


def test_target_is_the_one_on_the_wire(server: LoopbackServer) -> None:
    request = b"GET //a/%2e%2E/b;c?d=%zz HTTP/1.1\r\nHost: localhost\r\n"
    reply = raw(server, request + b"Connection: close\r\n\r\n")
    assert b'"target": "//a/%2e%2E/b;c?d=%zz"' in reply


def test_chunked_request_is_read(connection: http.client.HTTPConnection) -> None:
    connection.request("POST", "/", body=iter([b"123", b"45678"]), encode_chunked=True)
    assert b'"size": 8' in connection.getresponse().read()


def test_large_body_is_counted_but_not_kept(
    connection: http.client.HTTPConnection,
) -> None:
    connection.request("POST", "/", body=b"x" * (KEPT_BODY_BYTES + 1))
    assert f'"size": {KEPT_BODY_BYTES + 1}'.encode() in connection.getresponse().read()


def test_expectation_is_answered_before_the_body(server: LoopbackServer) -> None:
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n"
    with socket.create_connection((server.host, server.port), timeout=60) as client:
        client.sendall(head + b"Expect: 100-continue\r\n\r\n")
        assert client.recv(1024) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"ab")
        assert client.recv(1024).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: 1\r\nContent-Length: 1\r\n",
        b"Content-Length: +1\r\n",
        b"Content-Length: 1_0\r\n",
        b"Transfer-Encoding: xchunked\r\n",
    ],
)
def test_doubtful_framing_is_refused_and_ends_the_connection(
    server: LoopbackServer, framing: bytes
) -> None:
    reply = raw(server, b"POST / HTTP/1.1\r\nHost: localhost\r\n" + framing + b"\r\n0")
    assert reply.startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("chunks", [b"0x1\r\na\r\n0\r\n\r\n", b"1\r\nab\r\n", b"\r\n"])
def test_bad_chunk_is_refused(server: LoopbackServer, chunks: bytes) -> None:
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert raw(server, head + chunks).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "[::"])
def test_foreign_host_is_not_served(
    connection: http.client.HTTPConnection, host: str
) -> None:
    connection.request("GET", "/", headers={"Host": host})
    assert connection.getresponse().status == 421


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:80"])
def test_every_loopback_name_is_served(
    connection: http.client.HTTPConnection, host: str
) -> None:
    connection.request("GET", "/", headers={"Host": host})
    assert connection.getresponse().status == 200


def test_failing_answer_says_nothing_of_the_inside(
    connection: http.client.HTTPConnection,
) -> None:
    connection.request("GET", "/fails")
    response = connection.getresponse()
    assert response.status == 500
    assert b"purpose" not in response.read()


def test_stop_ends_kept_alive_connections() -> None:
    server = LoopbackServer(answer).start()
    with socket.create_connection((server.host, server.port), timeout=60) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.recv(65536)
        server.stop()
        assert client.recv(65536) == b""


def test_client_that_leaves_in_the_middle_is_no_trouble(
    server: LoopbackServer, connection: http.client.HTTPConnection
) -> None:
    with socket.create_connection((server.host, server.port), timeout=60) as client:
        client.sendall(
            b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"
        )
    connection.request("GET", "/")
    assert connection.getresponse().status == 200


def test_repeated_and_blank_parameters_are_kept_in_order() -> None:
    request = Request("GET", "/?a=1&b=&a=2", ())
    assert request.query_pairs == [("a", "1"), ("b", ""), ("a", "2")]


def test_unreadable_cookie_is_no_cookie() -> None:
    assert Request("GET", "/", (("Cookie", "a[]=1; b"),)).cookies == {}


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback_is_recognised(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "", "localhost.x", "x"])  # noqa: S104 - refused
def test_anything_else_is_not_loopback(host: str) -> None:
    assert not is_loopback(host)
