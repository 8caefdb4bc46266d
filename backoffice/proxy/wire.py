"""How one call travels: `requests`, with four things it would do that we may not.

It would spell the path its own way, keep waiting as long as a byte comes now and
then, keep cookies, and believe a malformed head. The pool below is shared by all
threads and all people, so nothing of a call may stay behind on a connection: what
belongs to one call is in `_current`, and a connection that holds one byte too many
is not used again.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from email.errors import MissingHeaderBodySeparatorDefect
from typing import Any, cast

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPResponse, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

UPSTREAMS = 64
IDLE_CONNECTIONS = 32
# Shorter than any server's keep-alive: a connection that is being closed while we
# send costs a 502, because nothing is ever sent twice.
IDLE_SECONDS = 1.5


@dataclass(frozen=True, slots=True)
class Call:
    """What one call may take: seconds, and a deadline on the monotonic clock."""

    target: str
    connect_timeout: float
    read_timeout: float
    deadline: float

    def patience(self) -> float:
        """Seconds the next step may take. Raises TimeoutError when none are left."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("total time is up")
        return min(self.read_timeout, left)


def send(
    request: requests.PreparedRequest, call: Call, ca_file: str | None = None
) -> HTTPResponse:
    """The upstream's answer, its head read and its body still to come.

    The caller must read the body to its end or close it. Raises OSError (which
    requests' and the socket's errors are) or urllib3's HTTPError, and whatever the
    request's body raises while it is read.
    """
    timeout = (min(call.connect_timeout, call.patience()), call.read_timeout)
    token = _current.set(call)
    try:
        # No proxies, no .netrc, no environment: those are a Session's work.
        response = _adapter.send(
            request, stream=True, timeout=timeout, verify=ca_file or True, proxies={}
        )
    finally:
        _current.reset(token)
    return cast(HTTPResponse, response.raw)


# Between the caller and the connection stands the pool, which passes on nothing.
_current: ContextVar[Call] = ContextVar("current_call")


class _Socket(io.RawIOBase):
    """Reads under the call's deadline: a timeout alone begins anew with each byte."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, call: Call) -> None:
        self._raw, self._socket, self._call = raw, sock, call
        self.ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self.ended:
            return 0
        self._socket.settimeout(self._call.patience())
        count = self._raw.readinto(buffer)
        self.ended = count == 0
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()

    def spoil(self) -> None:
        """Makes the connection look closed, so that the pool lets go of it."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)


class _Stream(io.BufferedReader):
    raw: _Socket

    def close(self) -> None:
        # Bytes after the end of an answer would be the head of the next person's.
        if not self.closed:
            self.raw.ended = True
            if self.peek(1):
                self.raw.spoil()
        super().close()


class _Response(http.client.HTTPResponse):
    fp: io.BufferedReader

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp = _Stream(_Socket(self.fp.detach(), sock, _current.get()))

    def _read_status(self) -> tuple[str, int, str]:
        # http.client knows 100 but takes 103 for the answer, and the answer for
        # the next one's.
        line: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]
        while 101 < line[1] < 200:
            http.client.parse_headers(self.fp)
            line = super()._read_status()  # type: ignore[misc]
        return line

    def begin(self) -> None:
        super().begin()
        if cast(_Stream, self.fp).raw.ended:
            raise http.client.HTTPException("head cut short")
        # 101 would hand over a connection that nobody asked to upgrade.
        if not 200 <= self.status <= 599:
            raise http.client.HTTPException("status")
        refuse_bad_head(self.msg)
        if self.status in {204, 304}:
            self.chunked = False


def refuse_bad_head(head: http.client.HTTPMessage) -> None:
    """Raises HTTPException unless the head has one reading (RFC 9112, 5 and 6.3).

    Where two servers disagree on the end of a body, the rest of it becomes an answer
    that nobody asked for.
    """
    codings = [value.strip().lower() for value in head.get_all("Transfer-Encoding", [])]
    lengths = [value.strip() for value in head.get_all("Content-Length", [])]
    # A list is what the e-mail parser makes of multipart types; text is left over.
    rest = head.get_payload()
    if (isinstance(rest, str) and rest) or any(
        isinstance(defect, MissingHeaderBodySeparatorDefect) for defect in head.defects
    ):
        raise http.client.HTTPException("malformed field")
    if codings not in ([], ["chunked"]) or (codings and lengths):
        raise http.client.HTTPException("ambiguous framing")
    if len(set(lengths)) > 1 or not all(_is_number(value) for value in lengths):
        raise http.client.HTTPException("bad length")


def _is_number(value: str) -> bool:
    return value.isascii() and value.isdigit()


class _Exactly(HTTPConnection):
    """Puts the target on the wire byte for byte; urllib3 would tidy it up."""

    response_class = _Response
    used_at = 0.0

    def putrequest(self, method: str, url: str, *args: Any, **options: Any) -> None:
        self.used_at = time.monotonic()
        super().putrequest(method, _current.get().target, *args, **options)

    def send(self, data: Any) -> None:
        if self.sock is not None:
            self.sock.settimeout(_current.get().patience())
        super().send(data)

    @property
    def is_connected(self) -> bool:
        fresh = time.monotonic() - self.used_at < IDLE_SECONDS
        return fresh and super().is_connected


class _ExactlySecure(_Exactly, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Exactly


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _ExactlySecure


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        pools: Mapping[str, Any] = {"http": _Pool, "https": _SecurePool}
        self.poolmanager.pool_classes_by_scheme = dict(pools)

    def build_response(
        self, req: requests.PreparedRequest, resp: Any
    ) -> requests.Response:
        # requests' own would parse the cookies. Nobody here has a use for them.
        response = requests.Response()
        response.status_code, response.raw = resp.status, resp
        return response


_adapter = _Adapter(pool_connections=UPSTREAMS, pool_maxsize=IDLE_CONNECTIONS)
