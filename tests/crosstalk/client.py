"""People who ask, read exactly what comes back, and look at whose it is."""

from __future__ import annotations

import random
import re
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, fields

from tests.crosstalk.upstreams import MARK, SEEN_BY

PATIENCE_SECONDS = 10
ABORTED, PIPELINED = 0.06, 0.1
AT_ONCE = 3
_HEAD_END = b"\r\n\r\n"
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3})[ \r]")


@dataclass(slots=True)
class Tally:
    """What came back.

    `passed` and `refused`: responses from the upstream, and from 400 on. `cut`: the
    connection ended before a response did. `other_person`: something in it belonged to
    another person's request; `other_request`: to another one of the same person.
    `altered`: a body that is not exactly what was due.
    """

    responses: int = 0
    passed: int = 0
    refused: int = 0
    cut: int = 0
    aborted: int = 0
    other_person: int = 0
    other_request: int = 0
    altered: int = 0

    def __iadd__(self, other: Tally) -> Tally:
        for each in fields(self):
            total = getattr(self, each.name) + getattr(other, each.name)
            setattr(self, each.name, total)
        return self


@dataclass(frozen=True, slots=True)
class Person:
    number: int
    username: str
    key: str


@dataclass(frozen=True, slots=True)
class Asked:
    """One request on its way, and the mark in its target."""

    method: str
    mark: bytes


@dataclass(slots=True)
class Client:
    """One connection at a time to one entrance, for one person."""

    person: Person
    numbers: Iterator[int]
    rng: random.Random
    port: int = 0
    tally: Tally = field(default_factory=Tally)
    sock: socket.socket | None = None
    unread: bytes = b""
    examples: list[str] = field(default_factory=list)

    def go_to(self, port: int) -> None:
        self.drop()
        self.port = port

    def step(self, route: str, methods: tuple[str, ...]) -> None:
        """One request, several at once, or one that is left in the middle."""
        chance = self.rng.random()
        if chance < ABORTED:
            self._leave(self._request(route, methods))
        elif chance < ABORTED + PIPELINED:
            self._ask([self._request(route, methods) for _ in range(AT_ONCE)])
        else:
            self._ask([self._request(route, methods)])

    def drop(self) -> None:
        """Ends the connection. Nothing may have come on it that was not asked for."""
        if self.unread:
            self._judge(self.unread, b"")
        if self.sock is not None:
            self.sock.close()
        self.sock, self.unread = None, b""

    def _request(self, route: str, methods: tuple[str, ...]) -> tuple[Asked, bytes]:
        method = self.rng.choice(methods)
        mark = b"n-%d-%d-z" % (self.person.number, next(self.numbers))
        lines = [
            f"{method} /api/proxy/{route}/{mark.decode()} HTTP/1.1",
            f"Host: localhost:{self.port}",
            f"Cookie: session_id={self.person.key}",
        ]
        smuggled = b""
        if method == "POST":
            # To an upstream that does not read bodies this is a request of its own.
            target = mark.decode()
            smuggled = f"GET /{target} HTTP/1.1\r\nX-Staff-User: root\r\n\r\n".encode()
            lines += ["X-Backoffice: 1", "Sec-Fetch-Site: same-origin"]
            lines.append(f"Content-Length: {len(smuggled)}")
        return Asked(method, mark), "\r\n".join([*lines, "", ""]).encode() + smuggled

    def _leave(self, request: tuple[Asked, bytes]) -> None:
        self.drop()
        self.tally.aborted += 1
        with suppress(OSError):
            sock = self._connect()
            sock.sendall(request[1])
            time.sleep(self.rng.choice((0, 0.001, 0.004)))
        self.drop()

    def _ask(self, requests: list[tuple[Asked, bytes]]) -> None:
        try:
            sock = self.sock or self._connect()
            sock.sendall(b"".join(data for _, data in requests))
        except OSError:
            self.tally.cut += len(requests)
            self.drop()
            return
        for place, (asked, _) in enumerate(requests):
            if not self._read(asked):
                # The rest was never responded to; that is no fault.
                self.tally.cut += len(requests) - place - 1
                self.drop()
                return

    def _connect(self) -> socket.socket:
        address = ("127.0.0.1", self.port)
        self.sock = socket.create_connection(address, PATIENCE_SECONDS)
        self.unread = b""
        return self.sock

    def _read(self, asked: Asked) -> bool:
        """Reads one response; whether another one may follow on this connection."""
        try:
            head = self._until(_HEAD_END)
        except OSError:
            self.tally.cut += 1
            return False
        found = _STATUS.match(head)
        if found is None:
            self.tally.altered += 1
            self._note("no head", head)
            return False
        status = int(found[1])
        self.tally.responses += 1
        self.tally.passed += status < 400
        self.tally.refused += status >= 400
        content, is_whole = self._content(asked, status, head)
        self._judge(head + content, asked.mark)
        seen_by = _field(head, SEEN_BY)
        if seen_by not in {None, self.person.username}:
            self.tally.other_person += 1
            self._note(f"for {seen_by}", head)
        # That marks are those of this request is judged above.
        if status == 200 and is_whole and MARK.sub(b"", content):
            self.tally.altered += 1
            self._note("altered", content)
        return is_whole and _field(head, "Connection") != "close"

    def _content(self, asked: Asked, status: int, head: bytes) -> tuple[bytes, bool]:
        if asked.method == "HEAD" or status in {204, 304}:
            return b"", True
        if (_field(head, "Transfer-Encoding") or "").lower() == "chunked":
            return self._chunks()
        length = _field(head, "Content-Length")
        try:
            if length is not None:
                return self._exactly(int(length)), True
            while True:
                self._more()
        except OSError:
            rest, self.unread = self.unread, b""
            return rest, False

    def _chunks(self) -> tuple[bytes, bool]:
        content = b""
        try:
            while size := int(self._until(b"\r\n"), 16):
                content += self._exactly(size)
                self._until(b"\r\n")
            self._until(b"\r\n")
        except OSError:
            return content, False
        return content, True

    def _judge(self, data: bytes, own: bytes) -> None:
        """Whose marks these bytes hold."""
        foreign = {found[0]: int(found[1]) for found in MARK.finditer(data)}
        foreign.pop(own, None)
        if not foreign:
            return
        if set(foreign.values()) != {self.person.number}:
            self.tally.other_person += 1
            self._note("of another person", data)
        else:
            self.tally.other_request += 1

    def _note(self, what: str, data: bytes) -> None:
        if len(self.examples) < 5:
            self.examples.append(f"{what}: {data[:300]!r}")

    def _exactly(self, length: int) -> bytes:
        while len(self.unread) < length:
            self._more()
        found, self.unread = self.unread[:length], self.unread[length:]
        return found

    def _until(self, end: bytes) -> bytes:
        while end not in self.unread:
            self._more()
        found, _, self.unread = self.unread.partition(end)
        return found + end

    def _more(self) -> None:
        """Raises OSError at the end of the connection, and when nothing comes."""
        assert self.sock is not None
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionResetError
        self.unread += data


def _field(head: bytes, name: str) -> str | None:
    for line in head.decode("latin-1").split("\r\n")[1:]:
        known, _, value = line.partition(":")
        if known.lower() == name.lower():
            return value.strip()
    return None
