"""An upstream on raw sockets: it keeps every byte it gets and answers as told.

Python's own HTTP server tidies up what it receives; here the tests need the truth.
"""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

# True keeps the connection for another request.
Answer = Callable[["Talk"], bool | None]

HELLO = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"


@dataclass(frozen=True, slots=True)
class Recorded:
    """One request as it came over the wire."""

    head: bytes
    body: bytes

    @property
    def line(self) -> bytes:
        return self.head.split(b"\r\n", 1)[0]

    @property
    def target(self) -> bytes:
        return self.line.split(b" ")[1]

    @property
    def fields(self) -> list[tuple[str, str]]:
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        pairs = (line.partition(":") for line in lines)
        return [(name.lower(), value.strip()) for name, _, value in pairs]

    def all(self, name: str) -> list[str]:
        return [value for known, value in self.fields if known == name.lower()]

    def get(self, name: str) -> str | None:
        return next(iter(self.all(name)), None)


class Talk:
    """One connection, from the upstream's side."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.unread = b""
        self.last = Recorded(b"", b"")

    def say(self, data: bytes) -> None:
        self.sock.sendall(data)

    def reset(self) -> None:
        """Ends the connection with RST instead of FIN."""
        linger = struct.pack("ii", 1, 0)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.sock.close()

    def hear_head(self) -> Recorded | None:
        """The next request without its body, which is left to whoever answers."""
        while b"\r\n\r\n" not in self.unread:
            if not self._more():
                return None
        head, _, self.unread = self.unread.partition(b"\r\n\r\n")
        self.last = Recorded(head, b"")
        return self.last

    def hear(self) -> Recorded | None:
        """The next request, or None when the other side is gone."""
        bare = self.hear_head()
        if bare is None:
            return None
        if bare.get("Transfer-Encoding"):
            body = self._until(b"0\r\n\r\n")
        else:
            body = self._exactly(int(bare.get("Content-Length") or 0))
        self.last = Recorded(bare.head, body)
        return self.last

    def is_gone(self, within: float = 5) -> bool:
        """Whether the other side closes the connection, waiting as long as said."""
        self.sock.settimeout(within)
        try:
            return self.sock.recv(1) == b""
        except TimeoutError:
            return False
        except OSError:
            return True

    def _exactly(self, length: int) -> bytes:
        while len(self.unread) < length and self._more():
            pass
        body, self.unread = self.unread[:length], self.unread[length:]
        return body

    def _until(self, end: bytes) -> bytes:
        while end not in self.unread and self._more():
            pass
        body, found, self.unread = self.unread.partition(end)
        return body + found

    def _more(self) -> bool:
        try:
            data = self.sock.recv(65536)
        except OSError:
            return False
        self.unread += data
        return bool(data)


class Upstream:
    """A loopback server on port 0, or on a Unix socket at `path`.

    `answers` are used in turn, the last one for good. Bytes are sent as they are and
    keep the connection; a callable gets the Talk.
    """

    def __init__(
        self,
        *answers: bytes | Answer,
        tls: ssl.SSLContext | None = None,
        path: Path | None = None,
    ) -> None:
        self.answers = list(answers) or [HELLO]
        self.requests: list[Recorded] = []
        # How many there were, and how many are open now.
        self.connections = 0
        self.open: set[Talk] = set()
        # Whether a request's body is read before its answer is chosen.
        self.hears = True
        self.stopping = threading.Event()
        self._listener = _unix_server(path) if path else _server()
        self.port = 0 if path else int(self._listener.getsockname()[1])
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._tls = tls

    @property
    def last(self) -> Recorded:
        return self.requests[-1]

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        # Wakes accept(), which close() alone does not.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(60)

    def _accept(self) -> None:
        while not self.stopping.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with suppress(OSError), self._secured(sock) as sock, self._opened(sock) as talk:
            while request := (talk.hear() if self.hears else talk.hear_head()):
                self.requests.append(request)
                act = self.answers[0]
                del self.answers[: len(self.answers) > 1]
                if callable(act):
                    if not act(talk):
                        return
                else:
                    talk.say(act)

    @contextmanager
    def _opened(self, sock: socket.socket) -> Iterator[Talk]:
        talk = Talk(sock)
        self.open.add(talk)
        try:
            yield talk
        finally:
            self.open.discard(talk)

    def _secured(self, sock: socket.socket) -> socket.socket:
        return self._tls.wrap_socket(sock, server_side=True) if self._tls else sock


def _server() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def _unix_server(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    return listener


def answer(
    status: str = "200 OK",
    fields: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
    length: int | None = None,
) -> bytes:
    """A whole answer; `length` lies about the body when it is given."""
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in fields)]
    lines.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def chunked(*pieces: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    """A body in chunks, without its head."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + end


def slow(seconds: float, then: bytes = HELLO) -> Answer:
    def act(talk: Talk) -> None:
        time.sleep(seconds)
        talk.say(then)

    return act


def dripping(data: bytes, every: float = 0.05, after: bytes = b"") -> Answer:
    """Sends `after` at once, then one byte at a time: always alive, never done."""

    def act(talk: Talk) -> None:
        talk.say(after)
        for index in range(len(data)):
            talk.say(data[index : index + 1])
            time.sleep(every)

    return act


def closing(data: bytes) -> Answer:
    """Sends this and closes, as its head will say: else the next call might meet it."""
    head, end, body = data.partition(b"\r\n\r\n")
    if end and b"\r\nConnection:" not in head:
        head += b"\r\nConnection: close"
    return lambda talk: talk.say(head + end + body)


def resetting(data: bytes) -> Answer:
    """Sends this, leaves it time to arrive, and resets the connection."""

    def act(talk: Talk) -> None:
        talk.say(data)
        time.sleep(0.1)
        talk.reset()

    return act


def hanging(data: bytes, seconds: float = 10) -> Answer:
    """Sends this and then nothing, until the other side gives up."""

    def act(talk: Talk) -> None:
        talk.say(data)
        talk.is_gone(within=seconds)

    return act


class Unaccepting:
    """A port whose queue is full: connecting to it hangs."""

    def __init__(self) -> None:
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(0)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._queue: list[socket.socket] = []

    def __enter__(self) -> Self:
        for _ in range(8):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", self.port))
            self._queue.append(sock)
        return self

    def __exit__(self, *_: object) -> None:
        for sock in [*self._queue, self._listener]:
            sock.close()
