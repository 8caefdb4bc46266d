"""One site with its three doors, and a client that sends exactly what it is told."""

from __future__ import annotations

import base64
import os
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from tests.doors.server import running_nginx
from tests.doors.upstream import ROUTES, respond
from tests.fakes.certificate import write_certificate
from tests.fakes.upstream import Answer as Act
from tests.fakes.upstream import Unaccepting, Upstream
from tests.journeys.site import Site, running_site
from tests.waiting import IO_SECONDS

DOORS = ("embedded", "check", "script")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; status 0 when the connection was closed without an answer."""

    status: int
    head: str
    body: bytes
    seconds: float = field(compare=False, default=0.0)

    def all(self, name: str) -> list[str]:
        lines = (line.partition(":") for line in self.head.split("\r\n")[1:])
        return [
            value.strip() for known, _, value in lines if known.lower() == name.lower()
        ]

    def get(self, name: str) -> str | None:
        return next(iter(self.all(name)), None)

    @property
    def content(self) -> bytes:
        """The body without the chunks it may have come in."""
        return self._read()[0]

    @property
    def is_whole(self) -> bool:
        """Whether the body reached the end that the head announced."""
        return self._read()[1]

    def _read(self) -> tuple[bytes, bool]:
        length = self.get("Content-Length")
        if self.get("Transfer-Encoding") != "chunked":
            return self.body, length is None or int(length) == len(self.body)
        content, rest = b"", self.body
        while size := int(rest.partition(b"\r\n")[0] or b"0", 16):
            rest = rest.partition(b"\r\n")[2]
            content, rest = content + rest[:size], rest[size + 2 :]
        return content, rest == b"0\r\n\r\n"

    @property
    def word(self) -> str | None:
        return self.get("X-Gate")


@dataclass
class House:
    site: Site
    upstream: Upstream
    # The same one behind TLS, and on a Unix socket.
    secure: Upstream
    by_socket: Upstream
    # Another one, with which everybody shares connections.
    shared: Upstream
    # The same of one that never sends what it was not asked for.
    trusted: Upstream
    acts: dict[str, Act]
    addresses: dict[str, str]

    def door(self, name: str) -> Door:
        return Door(self, name, self.addresses[name])


@dataclass(frozen=True, slots=True)
class Door:
    house: House
    name: str
    url: str

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc

    @property
    def seen(self) -> int:
        """How many calls have reached the upstream."""
        return len(self.house.upstream.requests)

    def act(self, act: Act) -> str:
        """Has the upstream do this once it is asked for the path that is given."""
        name = f"a{len(self.house.acts)}"
        self.house.acts[name] = act
        return f"act/{name}"

    def connect(self, timeout: float = IO_SECONDS) -> socket.socket:
        parts = urlsplit(self.url)
        return socket.create_connection(("127.0.0.1", parts.port), timeout)

    def ask(
        self,
        target: str | bytes,
        *fields: str | bytes,
        key: str | None = None,
        method: str = "GET",
        body: bytes = b"",
        host: str | None = None,
    ) -> Answer:
        """Sends exactly these bytes on a connection of their own."""
        lines = [
            method.encode() + b" " + _bytes(target) + b" HTTP/1.1",
            f"Host: {host or self.host}".encode(),
            b"Connection: close",
            *map(_bytes, fields),
        ]
        if key:
            lines.append(b"Cookie: session_id=" + key.encode())
        return self.send(b"\r\n".join(lines) + b"\r\n\r\n" + body)

    def send(self, request: bytes) -> Answer:
        """Sends exactly these bytes and takes what comes up to the close."""
        began = time.monotonic()
        with self.connect() as sock:
            sock.sendall(request)
            data = _everything(sock)
        head, _, rest = data.partition(b"\r\n\r\n")
        status = int(data.split(b" ", 2)[1]) if data.startswith(b"HTTP/") else 0
        taken = time.monotonic() - began
        return Answer(status, head.decode("latin-1"), rest, taken)

    def open(self, target: str, key: str, *fields: str) -> socket.socket:
        """Sends a call and leaves its answer to be read."""
        sock = self.connect()
        lines = [
            f"GET {target} HTTP/1.1",
            f"Host: {self.host}",
            f"Cookie: session_id={key}",
            *fields,
        ]
        sock.sendall("\r\n".join(lines).encode() + b"\r\n\r\n")
        return sock


def proof(door: Door) -> tuple[str, str]:
    """The fields with which a page of ours sends an unsafe call."""
    return "X-Backoffice: 1", f"Origin: http://{door.host}"


def websocket(door: Door) -> tuple[str, ...]:
    """The fields with which a page of ours opens a WebSocket."""
    key = base64.b64encode(os.urandom(16)).decode()
    return (
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {key}",
        f"Origin: http://{door.host}",
    )


def read_until(sock: socket.socket, end: bytes, seconds: float = IO_SECONDS) -> bytes:
    """What comes up to and with `end`, or up to the close."""
    sock.settimeout(seconds)
    data = b""
    while end not in data and (piece := sock.recv(65536)):
        data += piece
    return data


def seconds_until_closed(
    sock: socket.socket, at_most: float = IO_SECONDS
) -> float | None:
    """How long the other side keeps the connection; None when longer than that."""
    began = time.monotonic()
    sock.settimeout(0.2)
    while (taken := time.monotonic() - began) < at_most:
        try:
            if sock.recv(65536) == b"":
                return taken
        except TimeoutError:
            continue
        except OSError:
            return taken
    return None


@contextmanager
def running_house(folder: Path, is_hasty: bool = False) -> Iterator[House]:
    """`is_hasty`: with the timeouts of production, for tests of what is away."""
    folder.mkdir(parents=True, exist_ok=True)
    acts: dict[str, Act] = {}
    with running_upstreams(folder, partial(respond, acts)) as upstreams:
        changes = {
            "ROUTES_FILE": str(folder / "routes.toml"),
            "TRUSTED_PROXIES": "127.0.0.1",
            "TEST_TIMEOUTS": "production" if is_hasty else "long",
        }
        with (
            running_site(folder / "site", **changes) as site,
            running_nginx(site, folder / "check", "check", is_hasty=is_hasty) as check,
            running_nginx(
                site, folder / "script", "script", is_hasty=is_hasty
            ) as script,
        ):
            addresses = {"embedded": site.url, "check": check, "script": script}
            yield House(site, *upstreams, acts, addresses)


@contextmanager
def running_upstreams(folder: Path, act: Act) -> Iterator[list[Upstream]]:
    """The upstreams in their four forms; writes the route table that leads to them."""
    certificate, socket_path = folder / "upstream.pem", folder / "upstream.sock"
    write_certificate(certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with (
        Upstream(act) as upstream,
        Upstream(act, tls=context) as secure,
        Upstream(act, path=socket_path) as by_socket,
        Upstream(act) as shared,
        Upstream(act) as trusted,
        Unaccepting() as unaccepting,
    ):
        text = ROUTES.format(
            url=upstream.url,
            secure=secure.port,
            authority=certificate,
            socket=socket_path,
            unaccepting=unaccepting.url,
            shared=shared.url,
            trusted=trusted.url,
        )
        (folder / "routes.toml").write_text(text, encoding="utf-8")
        yield [upstream, secure, by_socket, shared, trusted]


def _everything(sock: socket.socket) -> bytes:
    data = b""
    try:
        while piece := sock.recv(65536):
            data += piece
    except OSError:
        pass
    return data


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()
