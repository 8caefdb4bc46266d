"""A small HTTP/1.1 server for loopback: what the provider and the upstream stand on.

One function answers requests; here is only the framing. It refuses any Host that is
not a loopback name, so that a web page which points its own name at 127.0.0.1 (DNS
rebinding) cannot read the demo through a developer's browser.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, Self

from backoffice.demo.children import wait_until
from backoffice.demo.messages import (
    KEPT_BODY_BYTES,
    Answer,
    Request,
    Response,
    json_response,
)
from backoffice.demo.ports import LOOPBACK

logger = logging.getLogger(__name__)

BLOCK_BYTES = 64 * 1024
IDLE_SECONDS = 60
STOP_SECONDS = 1.0


class MalformedRequest(Exception):
    """The framing of a request body cannot be trusted."""


class LoopbackServer:
    """Answers on a loopback address until stopped; each connection has its thread."""

    def __init__(self, answer: Answer, *, host: str = LOOPBACK, port: int = 0) -> None:
        """`port` 0 lets the system choose at the first start, and keeps the choice."""
        if not is_loopback(host):
            raise ValueError(f"{host} is not a loopback address")
        self.answer = answer
        self.host = host
        self.port = port
        self._listener: _Listener | None = None
        self._thread: threading.Thread | None = None

    @property
    def origin(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def listen(self) -> _Listener:
        """Take the port; who connects waits. Raises OSError if it is taken."""
        self._listener = _Listener(self.host, self.port, self.answer)
        self.port = self._listener.server_port
        return self._listener

    def start(self) -> Self:
        """Answer in the background, after `listen` if that was not called."""
        listener = self._listener or self.listen()
        self._thread = threading.Thread(
            target=listener.serve_forever, args=(0.05,), daemon=True
        )
        self._thread.start()
        return self

    def stop(self) -> None:
        """Close the port and every open connection; safe to call twice."""
        if self._listener is None or self._thread is None:
            return
        self._listener.shutdown()
        self._listener.hang_up()
        self._listener.server_close()
        self._thread.join()
        self._listener = self._thread = None


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, host: str, port: int, answer: Answer) -> None:
        if ":" in host:
            self.address_family = socket.AF_INET6
        self.host = host
        self.answer = answer
        self.open_connections: set[socket.socket] = set()
        super().__init__((host, port), _Connection)

    def server_bind(self) -> None:
        # HTTPServer would look its own name up here, which can take seconds offline.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.host, self.socket.getsockname()[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        self.open_connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        self.open_connections.discard(request)

    def hang_up(self) -> None:
        """End kept-alive connections, whose threads would otherwise wait for more."""
        for connection in list(self.open_connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        wait_until(lambda: not self.open_connections, STOP_SECONDS)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that leaves in the middle is everyday; anything else is our mistake.
        everyday = isinstance(sys.exception(), ConnectionError)
        logger.log(
            logging.DEBUG if everyday else logging.ERROR,
            "connection-lost",
            exc_info=True,
        )


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    # One write per answer: headers and body in two packets would meet the other
    # side's delayed acknowledgement and wait forty milliseconds.
    wbufsize = -1
    disable_nagle_algorithm = True
    server: _Listener

    def __getattr__(self, name: str) -> Any:
        # The inherited dispatcher looks for do_GET, do_PUT, …; any method is welcome.
        if name.startswith("do_"):
            return self._answer
        raise AttributeError(name)

    def version_string(self) -> str:
        return "Demo"

    def handle_expect_100(self) -> bool:
        goes_on = super().handle_expect_100()
        self.wfile.flush()
        return goes_on

    def _answer(self) -> None:
        try:
            request = self._read()
        except MalformedRequest as problem:
            self.close_connection = True
            self._send(json_response({"error": str(problem)}, 400))
            return
        self._send(self._respond(request))

    def _respond(self, request: Request) -> Response:
        if not is_loopback(host_name(request.header("Host"))):
            return json_response({"error": "this host is not served here"}, 421)
        try:
            return self.server.answer(request)
        except Exception:
            logger.exception("answer-failed method=%s path=%s", self.command, self.path)
            return json_response({"error": "the demo server failed"}, 500)

    def _read(self) -> Request:
        # self.path is not the wire's: the inherited parser collapses a leading "//".
        target = self.requestline.split()[1]
        headers = tuple((key, str(value)) for key, value in self.headers.items())
        kept, size = bytearray(), 0
        for block in self._body_blocks():
            size += len(block)
            kept += block[: KEPT_BODY_BYTES - len(kept)]
        return Request(self.command, target, headers, bytes(kept), size)

    def _body_blocks(self) -> Iterator[bytes]:
        lengths = self.headers.get_all("Content-Length", [])
        codings = self.headers.get_all("Transfer-Encoding", [])
        # Two framings, or one said twice, is how a request is smuggled past a proxy.
        if len(lengths) + len(codings) > 1:
            raise MalformedRequest("more than one framing")
        if codings:
            if codings[0].lower() != "chunked":
                raise MalformedRequest("unknown transfer coding")
            yield from self._chunks()
        elif lengths:
            yield from self._exactly(number(lengths[0], 10))

    def _chunks(self) -> Iterator[bytes]:
        while size := number(self._line().partition(";")[0].strip(), 16):
            yield from self._exactly(size)
            if self._line():
                raise MalformedRequest("bad chunk")
        while self._line():
            pass

    def _line(self) -> str:
        line = self.rfile.readline(8192)
        if not line.endswith(b"\n"):
            raise MalformedRequest("bad chunk")
        return line.rstrip(b"\r\n").decode("latin-1")

    def _exactly(self, size: int) -> Iterator[bytes]:
        while size:
            block = self.rfile.read(min(size, BLOCK_BYTES))
            if not block:
                raise MalformedRequest("body ended early")
            size -= len(block)
            yield block

    def _send(self, response: Response) -> None:
        if isinstance(response.body, bytes):
            self._send_whole(response, response.body)
        else:
            self._send_blocks(response, response.body)
        self.wfile.flush()

    def _send_head(self, response: Response, *framing: tuple[str, str]) -> None:
        self.send_response(response.status)
        for name, value in (*response.headers, *framing):
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def _send_whole(self, response: Response, body: bytes) -> None:
        if response.status in {204, 304}:
            self._send_head(response)
            return
        self._send_head(response, ("Content-Length", str(len(body))))
        if self.command != "HEAD":
            self.wfile.write(body)

    def _send_blocks(self, response: Response, blocks: Iterator[bytes]) -> None:
        # Without chunks (HTTP/1.0) the end of the body is the end of the connection.
        chunked = self.request_version != "HTTP/1.0"
        self.close_connection |= not chunked
        framing = [("Transfer-Encoding", "chunked")] if chunked else []
        self._send_head(response, *framing)
        if self.command == "HEAD":
            return
        for block in blocks:
            self.wfile.write(
                b"%x\r\n%b\r\n" % (len(block), block) if chunked else block
            )
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n" if chunked else b"")

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        # Without the query: that is where codes and hints travel.
        path = self.path.partition("?")[0]
        logger.info("answered method=%s path=%s status=%s", self.command, path, code)

    def log_message(self, format: str, *args: Any) -> None:
        logger.info("connection " + format, *args)  # noqa: G003 - their own format


def chunk(block: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(block), block)


def number(text: str, base: int) -> int:
    """A length from the wire, digits only: int() would take "+3", "0x3" and "1_0"."""
    digits = "0123456789abcdef"[:base]
    if not text or not set(text.lower()) <= set(digits):
        raise MalformedRequest("bad length")
    return int(text, base)


def host_name(authority: str) -> str:
    """The host in "host:port" or "[host]:port"."""
    if authority.startswith("["):
        return authority[1:].partition("]")[0]
    return authority.partition(":")[0]


def is_loopback(host: str) -> bool:
    """Whether this name or address can only mean this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
