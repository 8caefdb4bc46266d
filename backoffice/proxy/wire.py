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
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, replace
from email.errors import MissingHeaderBodySeparatorDefect
from functools import lru_cache
from typing import Any, cast
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPResponse, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from backoffice.proxy.address import Address

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
    request: requests.PreparedRequest,
    call: Call,
    address: Address,
    ca_file: str | None = None,
) -> HTTPResponse:
    """The upstream's answer, its head read and its body still to come.

    The caller must read the body to its end or close it. Raises OSError (which
    requests' and the socket's errors are) or urllib3's HTTPError, and whatever the
    request's body raises while it is read.
    """
    timeout = (min(call.connect_timeout, call.patience()), call.read_timeout)
    adapter = _adapter_for(address, ca_file)
    token = _current.set(call)
    try:
        # No proxies, no .netrc, no environment: those are a Session's work.
        response = adapter.send(
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


class _ExactlyLocal(_Exactly):
    """To a Unix socket. The pool makes one only for an address that names it."""

    socket_path = ""

    def _new_conn(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(self.timeout)
        try:
            sock.connect(self.socket_path)
        except OSError:
            sock.close()
            raise
        return sock


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Exactly


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _ExactlySecure


class _Adapter(HTTPAdapter):
    """One upstream's connections. requests would find them by parsing each address."""

    def __init__(self, address: Address, ca_file: str | None) -> None:
        super().__init__(pool_connections=1)
        self.pool = _pool_for(address, ca_file)

    def get_connection_with_tls_context(self, *args: Any, **options: Any) -> Any:
        return self.pool

    def cert_verify(self, *args: Any, **options: Any) -> None:
        # Settled when the pool was made: a pool is for one address and one authority.
        return None

    def request_url(self, *args: Any, **options: Any) -> str:
        # urllib3 would spell it its own way; the connection has the real one.
        return "/"

    def build_response(
        self, req: requests.PreparedRequest, resp: Any
    ) -> requests.Response:
        # requests' own would parse the cookies. Nobody here has a use for them.
        response = requests.Response()
        response.status_code, response.raw = resp.status, resp
        return response


@lru_cache(maxsize=UPSTREAMS)
def _adapter_for(address: Address, ca_file: str | None) -> _Adapter:
    return _Adapter(replace(address, mount=""), ca_file)


def _local(path: str) -> type[_Exactly]:
    class Local(_ExactlyLocal):
        socket_path = path

    return Local


def _pool_for(address: Address, ca_file: str | None) -> HTTPConnectionPool:
    parts = urlsplit(f"{address.scheme}://{address.server}")
    options: dict[str, Any] = {"maxsize": IDLE_CONNECTIONS, "block": False}
    if address.scheme == "https":
        trusted = ca_file or requests.utils.DEFAULT_CA_BUNDLE_PATH
        return _SecurePool(
            str(parts.hostname),
            parts.port,
            cert_reqs="CERT_REQUIRED",
            ca_certs=trusted,
            **options,
        )
    pool = _Pool(str(parts.hostname), parts.port, **options)
    if address.socket:
        pool.ConnectionCls = _local(address.socket)
    return pool
