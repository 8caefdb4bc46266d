"""One connection to an upstream: bytes out, bytes in, every wait bounded.

A timeout alone begins anew with each byte, so each wait is given what is left of the
call's total time as well.
"""

from __future__ import annotations

import functools
import socket
import ssl
import time
from collections.abc import Hashable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import requests

from accounts import sockets
from backoffice.proxy.address import Address
from backoffice.proxy.errors import BadAnswer

READ_BYTES = 64 * 1024
EVERYBODY = "everybody"


@dataclass(slots=True)
class Call:
    """What one call may take: seconds, and a deadline on the monotonic clock.

    `socket` is where it is under way, for whoever must end it from outside. `route` is
    the name of its route, for the log. `owner` is whose kept connections it may use and
    add to: one person's, or EVERYBODY's; None: it gets a connection of its own.
    """

    target: str
    connect_timeout: float
    read_timeout: float
    deadline: float
    socket: socket.socket | None = None
    route: str = ""
    owner: Hashable = None

    def patience(self) -> float:
        """Seconds the next step may take. Raises TimeoutError when none are left."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("total time is up")
        return min(self.read_timeout, left)


class Connection:
    """An open connection. What was received and not yet taken is in `unread`."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.unread = b""
        self.used_at = time.monotonic()
        self.owner: Hashable = None
        self.route = ""
        # This request is its last: the other side has stopped listening, or whether it
        # is in step with us cannot be known.
        self.is_spoilt = False
        self._patience = 0.0

    def send(self, data: bytes, call: Call) -> None:
        """Raises OSError; TimeoutError when the upstream takes nothing any more."""
        view = memoryview(data)
        while view:
            self._await(call.patience())
            try:
                view = view[self.sock.send(view) :]
            except BlockingIOError:
                raise TimeoutError("the upstream takes nothing") from None

    def receive(self, call: Call) -> bytes:
        """What comes next, b"" at the end. Raises OSError."""
        self._await(call.patience())
        try:
            return self.sock.recv(READ_BYTES)
        except BlockingIOError:
            raise TimeoutError("the upstream says nothing") from None

    def more(self, call: Call) -> None:
        """Adds what comes next to `unread`; raises BadAnswer at the end."""
        data = self.receive(call)
        if not data:
            raise BadAnswer("cut short")
        self.unread = self.unread + data if self.unread else data

    def is_quiet(self) -> bool:
        """Whether it is open and nothing has come that nobody asked for."""
        # Bytes after the end of an answer would be the head of the next person's.
        return not self.unread and sockets.is_quiet(self.sock)

    def has_stray_bytes(self) -> bool:
        """Whether bytes came that no request caused; the connection is then closed."""
        return bool(self.unread) or sockets.has_bytes(self.sock)

    def close(self) -> None:
        with suppress(OSError):
            self.sock.close()

    def _await(self, seconds: float) -> None:
        if seconds != self._patience:
            self._patience = seconds
            sockets.set_patience(self.sock, seconds)


def connect(address: Address, call: Call, ca_file: str | None) -> Connection:
    """Raises OSError; requests' SSLError when the other side is not who it must be."""
    seconds = min(call.connect_timeout, call.patience())
    sock = _reach(address, seconds)
    try:
        sock.settimeout(seconds)
        if address.scheme == "https":
            context = _trusting(ca_file)
            sock = context.wrap_socket(sock, server_hostname=address.host)
        else:
            sock.settimeout(None)
    except ssl.SSLError as error:
        sock.close()
        raise requests.exceptions.SSLError(error) from error
    except BaseException:
        sock.close()
        raise
    return Connection(sock)


def _reach(address: Address, seconds: float) -> socket.socket:
    if not address.socket:
        sock = socket.create_connection((address.host, address.port), seconds)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(seconds)
        sock.connect(address.socket)
    except BaseException:
        sock.close()
        raise
    return sock


@functools.lru_cache(maxsize=64)
def _trusting(ca_file: str | None) -> ssl.SSLContext:
    return ssl.create_default_context(
        cafile=ca_file or requests.utils.DEFAULT_CA_BUNDLE_PATH
    )


def end_from_outside(sock: Any) -> None:
    """Makes whoever waits on this socket, if any, in another thread stop waiting."""
    if sock is None:
        return
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
