"""One site with its three doors, and a client that sends exactly what it is told."""

from __future__ import annotations

import base64
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from tests.doors.server import running_nginx
from tests.fakes.upstream import Talk, Upstream, answer, chunked
from tests.journeys.site import Site, running_site

DOORS = ("embedded", "check", "script")
ROUTES = """
[[route]]
name = "echo"
upstream = "{url}/v1"
methods = ["GET", "HEAD", "POST", "PUT", "OPTIONS"]
max_body = 1000
max_header = 4000

[[route]]
name = "bulk"
upstream = "{url}"
methods = ["POST"]
max_body = 4000000

[[route]]
name = "reports"
upstream = "{url}"
groups = ["finance"]

[[route]]
name = "nested"
prefix = "crm/admin"
upstream = "{url}/nested"
groups = ["finance"]

[[route]]
name = "crm"
upstream = "{url}/crm"
methods = ["GET", "POST"]
write_groups = ["finance"]

[[route]]
name = "signed"
upstream = "{url}/signed"
identity = "token"

[[route]]
name = "kept"
upstream = "{url}"
identity = "none"
cache = "revalidate"
response_headers = ["x-runtime"]
hide_headers = ["x-inner"]

[[route]]
name = "slow"
upstream = "{url}"
read_timeout = 0.5
total_timeout = 60

[[route]]
name = "gone"
upstream = "http://127.0.0.1:1"
"""
EXPOSING = [
    ("Content-Type", "text/plain"),
    ("Set-Cookie", "session_id=planted"),
    ("Access-Control-Allow-Origin", "*"),
    ("Cross-Origin-Opener-Policy", "unsafe-none"),
    ("Strict-Transport-Security", "max-age=0"),
    ("Clear-Site-Data", '"*"'),
    ("X-Gate", "passed"),
    ("X-Staff-Sub", "somebody"),
    ("X-Accel-Redirect", "/gate/check"),
    ("X-Powered-By", "a secret"),
    ("X-Runtime", "0.1"),
    ("X-Inner", "1"),
    ("Cache-Control", "public, max-age=9999"),
    ("Content-Security-Policy", "default-src *"),
    ("Vary", "Accept"),
    ("X-Kept", "yes"),
]


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
    def word(self) -> str | None:
        return self.get("X-Gate")


@dataclass
class House:
    site: Site
    upstream: Upstream
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

    def connect(self, timeout: float = 10) -> socket.socket:
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
        began = time.monotonic()
        with self.connect() as sock:
            sock.sendall(b"\r\n".join(lines) + b"\r\n\r\n" + body)
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


def read_until(sock: socket.socket, end: bytes, seconds: float = 5) -> bytes:
    """What comes up to and with `end`, or up to the close."""
    sock.settimeout(seconds)
    data = b""
    while end not in data and (piece := sock.recv(65536)):
        data += piece
    return data


def seconds_until_closed(sock: socket.socket, at_most: float = 8) -> float | None:
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
def running_house(folder: Path, **changes: str) -> Iterator[House]:
    with Upstream(respond) as upstream:
        folder.mkdir(parents=True, exist_ok=True)
        routes = folder / "routes.toml"
        routes.write_text(ROUTES.format(url=upstream.url), encoding="utf-8")
        changes = {
            "ROUTES_FILE": str(routes),
            "TRUSTED_PROXIES": "127.0.0.1",
            **changes,
        }
        with (
            running_site(folder / "site", **changes) as site,
            running_nginx(site, folder / "check", "check", "--watch") as check,
            running_nginx(site, folder / "script", "script") as script,
        ):
            addresses = {"embedded": site.url, "check": check, "script": script}
            yield House(site, upstream, addresses)


def respond(talk: Talk) -> None:
    """The upstream: what it does is in the path."""
    target = talk.last.target
    if b"/ws" in target and talk.last.get("Upgrade"):
        _be_a_websocket(talk)
    elif b"/stream" in target:
        _stream(talk)
    elif b"/exposing" in target:
        talk.say(answer(fields=EXPOSING, body=b"hello"))
    elif b"/garbage" in target:
        talk.say(b"HTTP/1.1 200 OK\r\nNo field at all\r\n\r\n")
    elif b"/late" in target:
        time.sleep(2)
    elif b"/401" in target:
        talk.say(answer("401 Unauthorized", body=b"the upstream's own"))
    else:
        talk.say(answer(fields=[("Content-Type", "text/plain")], body=b"hello"))


def _stream(talk: Talk) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
    talk.say(head + b"Transfer-Encoding: chunked\r\n\r\n")
    talk.say(chunked(b"data: first\n\n", end=b""))
    is_silent = b"/stream/silent" in talk.last.target
    for _ in range(300):
        if talk.is_gone(within=0.1):
            return
        if not is_silent:
            talk.say(chunked(b"data: more\n\n", end=b""))


def _be_a_websocket(talk: Talk) -> None:
    talk.say(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n"
    )
    # Bytes are bytes to a tunnel: they are sent back, frames or not.
    while data := talk.sock.recv(65536):
        talk.say(data)


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
