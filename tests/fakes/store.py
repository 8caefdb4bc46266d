"""A line to a real store that can fail in every way, or answer in the store's place.

The store behind it stays as it was: once the fault is over, everything is there again
at the same address, as after a real outage.
"""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit

# What the line does with one command: these bytes, or what is said here, or None for
# the store's own answer.
Fault = bytes | Callable[["Line"], bytes | None]

GREETING = b"INFO"


class Gone(Exception):
    """One of the two sides ended the connection."""


class Wire:
    """One socket, read message by message (RESP2, either direction)."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.unread = b""
        self.heard_at = 0.0

    def message(self) -> bytes:
        """One whole message, as it came."""
        line = self._until(b"\r\n")
        kind, size = line[:1], line[1:-2]
        if kind == b"$" and int(size) >= 0:
            return line + self._exactly(int(size) + 2)
        if kind == b"*":
            return line + b"".join(self.message() for _ in range(int(size)))
        return line

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def _until(self, end: bytes) -> bytes:
        while end not in self.unread:
            self._more()
        found, _, self.unread = self.unread.partition(end)
        return found + end

    def _exactly(self, length: int) -> bytes:
        while len(self.unread) < length:
            self._more()
        found, self.unread = self.unread[:length], self.unread[length:]
        return found

    def _more(self) -> None:
        data = self.sock.recv(65536)
        if not data:
            raise Gone
        self.unread += data
        self.heard_at = time.monotonic()


class Line:
    """One connection of a client, with its own connection to the store."""

    def __init__(self, client: Wire, store: Wire) -> None:
        self.client = client
        self.store = store
        self.command = b""
        self.last_answer = b""

    @property
    def name(self) -> bytes:
        """The command's name, in capitals; a script is EVAL however it is named."""
        name = self.command.split(b"\r\n", 3)[2].upper()
        return b"EVAL" if name == b"EVALSHA" else name

    def wait(self) -> None:
        """Returns when a command comes; raises Gone when the store hangs up instead.

        A client must see that at once, as on a line with nothing between. Else it finds
        several dead connections in a row after a pause, which no real one does.
        """
        if self.client.unread:
            return
        sides = select.poll()
        sides.register(self.client.sock, select.POLLIN)
        sides.register(self.store.sock, select.POLLIN)
        if self.client.sock.fileno() not in dict(sides.poll()):
            raise Gone

    def ask(self) -> bytes:
        """The store's own answer to this command."""
        self.store.send(self.command)
        return self.store.message()


class Proxy:
    """A loopback TCP port in front of the store at `url`, which may be a Unix socket.

    `fault` strikes the commands named in `to`, or all but the greeting of a new
    connection; `delay` (seconds) holds back every answer.
    """

    wire: type[Wire] = Wire
    line: type[Line] = Line

    def __init__(self, url: str) -> None:
        self.fault: Fault | None = None
        self.to: frozenset[bytes] = frozenset()
        self.delay = 0.0
        self.heard: list[bytes] = []
        self.connections = 0
        self.real_url = url
        self._target = urlsplit(url)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._open: set[socket.socket] = set()

    def breaks(self, fault: Fault, *to: bytes) -> None:
        """From now on this happens to these commands."""
        self.fault, self.to = fault, frozenset(to)

    def heals(self) -> None:
        self.fault, self.delay = None, 0.0

    def cut(self) -> None:
        """Resets every connection."""
        for sock in list(self._open):
            with suppress(OSError):
                _linger_not(sock)
                # Wakes the thread that reads from it, which then closes it.
                sock.shutdown(socket.SHUT_RDWR)

    def refuse(self) -> None:
        """Nobody listens any more."""
        # Wakes accept(), which close() alone does not.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def listen(self) -> None:
        """Somebody listens at the same port again."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._start()

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self.refuse()

    def _start(self) -> None:
        listener = self._listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            self._open.add(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with suppress(OSError, Gone, ValueError), sock, self._connect() as behind:
            line = self.line(self.wire(sock), self.wire(behind))
            while True:
                line.wait()
                line.command = line.client.message()
                self.heard.append(line.name)
                answer = self._answer(line)
                pause = line.client.heard_at + self.delay - time.monotonic()
                time.sleep(max(0.0, pause))
                line.client.send(answer)
        self._open.discard(sock)

    def _answer(self, line: Line) -> bytes:
        struck = line.name in self.to if self.to else line.name != GREETING
        fault = self.fault if struck else None
        answer = fault(line) if callable(fault) else fault
        if answer is None:
            answer = line.last_answer = line.ask()
        return answer

    def _connect(self) -> socket.socket:
        if self._target.scheme == "unix":
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(self._target.path)
            return sock
        return socket.create_connection((self._target.hostname, self._target.port))


def hanging(line: Line) -> bytes:
    """Never answers, until the other side gives up."""
    while line.client.sock.recv(65536):
        pass
    raise Gone


def resetting(line: Line) -> bytes:
    """Ends the connection with RST instead of an answer."""
    _linger_not(line.client.sock)
    line.client.sock.close()
    raise Gone


def closing_after(data: bytes) -> Fault:
    """Sends this much of an answer and closes."""

    def fault(line: Line) -> bytes:
        line.client.send(data)
        raise Gone

    return fault


def hanging_after(data: bytes) -> Fault:
    """Sends this much of an answer and then nothing."""

    def fault(line: Line) -> bytes:
        line.client.send(data)
        return hanging(line)

    return fault


def dripping(data: bytes, every: float) -> Fault:
    """Sends one byte at a time, with so many seconds between: alive, and never done."""

    def fault(line: Line) -> bytes:
        for index in range(len(data)):
            line.client.send(data[index : index + 1])
            time.sleep(every)
        return b""

    return fault


def in_bytes(line: Line) -> bytes:
    """The proper answer, one byte at a time."""
    for byte in line.ask():
        line.client.send(bytes([byte]))
    return b""


def shifted(line: Line) -> bytes:
    """The answer to the question before this one; its own is for the next."""
    before = line.last_answer
    line.last_answer = line.ask()
    return before


def passing(number: int, then: Fault) -> Fault:
    """Lets so many commands through before the fault."""
    left = [number]

    def fault(line: Line) -> bytes | None:
        left[0] -= 1
        if left[0] >= 0:
            return None
        return then(line) if callable(then) else then

    return fault


def _linger_not(sock: socket.socket) -> None:
    # Its close() then sends RST instead of FIN.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
