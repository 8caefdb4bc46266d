"""The one way out to the provider, and a narrow one.

Whoever answers in the provider's place (a stolen name, an open redirect, a broken
proxy) must not be able to send our client secret or a code elsewhere, to fill the
memory, or to keep a worker busy: no redirect is followed, no answer is read beyond
MAX_BYTES, and all of it together takes TOTAL_SECONDS at most, however slowly the
bytes drip. Only the resolver of names has a patience of its own.

Nothing comes from the environment (proxies, .netrc) and nothing is kept from one
request to the next (cookies, connections).
"""

from __future__ import annotations

import io
import socket
import time
from collections.abc import Callable
from contextlib import closing
from contextvars import ContextVar
from http.client import HTTPResponse
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from social_core.exceptions import (
    AuthConfigurationError,
    AuthProviderError,
    AuthResponseError,
    SocialAuthBaseException,
)
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, ReadTimeoutError

CONNECT_SECONDS = 2.0
TOTAL_SECONDS = 5.0
MAX_BYTES = 1024 * 1024
BLOCK_BYTES = 64 * 1024
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Insecure(requests.RequestException):
    """The address is not https, and not on this machine either."""


class Redirected(requests.RequestException):
    """The answer sends us elsewhere."""


class TooLarge(requests.RequestException):
    """The answer is longer than anything we could have asked for."""


def is_secure(url: object) -> bool:
    """Whether this is an https address, or an http one of this machine."""
    try:
        parts = urlsplit(url) if isinstance(url, str) else None
        host = parts.hostname if parts else None
    except ValueError:
        return False
    if parts is None or not host:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK)


def fetch(
    request: requests.Request,
    *,
    verify: bool | str = True,
    proxies: dict[str, str] | None = None,
) -> requests.Response:
    """The whole answer, of any status but a redirect.

    `verify` may be a file of certificate authorities. Raises requests' errors and
    those above, which are of their family.
    """
    if not is_secure(request.url):
        raise Insecure
    prepared = request.prepare()
    token = _deadline.set(time.monotonic() + TOTAL_SECONDS)
    try:
        with closing(_Adapter()) as adapter:
            answer = adapter.send(
                prepared,
                stream=True,
                timeout=(CONNECT_SECONDS, TOTAL_SECONDS),
                verify=verify,
                proxies=proxies or {},
            )
            with closing(answer):
                body = _body(answer)
    finally:
        _deadline.reset(token)
    answer.raw = io.BytesIO(body)
    return answer


def failure(backend: Any, error: requests.RequestException, stage: Any) -> Exception:
    """What went wrong, in social-auth's words; nothing of the provider's in it."""
    if isinstance(error, TooLarge):
        return AuthResponseError(backend, code="malformed_response", stage=stage)
    for family, kind, code in _FAILURES:
        if isinstance(error, family):
            return kind(backend, code=code, stage=stage)
    return AuthProviderError(backend, stage=stage)


# SSLError is a ConnectionError to requests, and so is a ConnectTimeout.
_FAILURES: tuple[
    tuple[type[requests.RequestException], type[SocialAuthBaseException], str], ...
] = (
    (requests.exceptions.SSLError, AuthProviderError, "tls_error"),
    (requests.Timeout, AuthProviderError, "timeout"),
    (Insecure, AuthConfigurationError, "invalid_setting"),
    (requests.exceptions.InvalidURL, AuthConfigurationError, "invalid_setting"),
    (requests.ConnectionError, AuthProviderError, "connection_failed"),
)


def _body(answer: requests.Response) -> bytes:
    if 300 <= answer.status_code < 400:
        raise Redirected
    body = bytearray()
    try:
        for block in answer.raw.stream(BLOCK_BYTES, decode_content=True):
            body += block
            if len(body) > MAX_BYTES:
                raise TooLarge
    except ReadTimeoutError as error:
        raise requests.ReadTimeout from error
    except HTTPError as error:
        raise requests.ConnectionError from error
    return bytes(body)


# Between us and the connection stands urllib3's pool, which passes on nothing.
_deadline: ContextVar[float] = ContextVar("deadline")


class _Bytes(io.RawIOBase):
    """Reads until the deadline: a timeout alone would begin anew with each byte."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw, self._socket, self._deadline = raw, sock, _deadline.get()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("total time is up")
        self._socket.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(HTTPResponse):
    fp: io.BufferedReader

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp = io.BufferedReader(_Bytes(self.fp.detach(), sock))


class _Connection(HTTPConnection):
    response_class = _Response


class _SecureConnection(HTTPSConnection):
    response_class = _Response


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


_POOLS: dict[str, Callable[..., HTTPConnectionPool]] = {
    "http": _Pool,
    "https": _SecurePool,
}


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = dict(_POOLS)

    def proxy_manager_for(self, *args: Any, **options: Any) -> Any:
        manager = super().proxy_manager_for(*args, **options)
        manager.pool_classes_by_scheme = dict(_POOLS)
        return manager
