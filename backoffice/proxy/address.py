from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote, urlsplit

_URL = re.compile(r"https?://[!-~]+")
_SERVER = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:\d+)?", re.ASCII)
_MOUNT = re.compile(r"(/[\w\-.~!$&'()*+,;=:@]+)*/?", re.ASCII)
# `unix:/run/api.sock:/v1` as nginx writes it, and the form with an escaped path.
_UNIX = re.compile(r"unix:(/[^:?#]+)(?::(/[^:?#]*)?)?")
_HTTP_UNIX = re.compile(r"http\+unix://(%2[fF][^/?#]*)(/[^?#]*)?")
_SOCKET_PATH = re.compile(r"(/[\w.@+-]+)+", re.ASCII)
# sun_path of the smallest system that matters, less its closing zero.
_LONGEST_SOCKET_PATH = 103


@dataclass(frozen=True, slots=True)
class Address:
    """Where an upstream answers: a server or a Unix socket, and a path within it.

    `server` is what goes into the Host field. `mount` is "" or begins with a slash.
    """

    scheme: str
    server: str
    mount: str
    socket: str = ""

    @property
    def host(self) -> str:
        """The name or address alone, as a resolver takes it."""
        return str(urlsplit(f"//{self.server}").hostname)

    @property
    def port(self) -> int:
        default = 443 if self.scheme == "https" else 80
        return urlsplit(f"//{self.server}").port or default


@lru_cache(maxsize=1024)
def parse_address(text: str) -> Address:
    """The address that a route table names.

    `http://host:port/v1`, `https://…`, `unix:/run/api.sock:/v1` or
    `http+unix://%2Frun%2Fapi.sock/v1`. Raises ValueError in plain words.
    """
    if text.startswith(("unix:", "http+unix:")):
        return _socket_address(text)
    if not _URL.fullmatch(text):
        raise ValueError(
            "must be an address that begins with http://, https://, unix:/ "
            "or http+unix://"
        )
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"is not an address: {error}") from error
    if "@" in parts.netloc:
        raise ValueError("must not hold a user or password")
    if not _SERVER.fullmatch(parts.netloc) or port == 0:
        raise ValueError("must name a host and, if any, a port above 0")
    if "?" in text or "#" in text:
        raise ValueError("must not hold a query or a fragment")
    return Address(parts.scheme, parts.netloc, _mount(parts.path))


def _socket_address(text: str) -> Address:
    found = _UNIX.fullmatch(text) or _HTTP_UNIX.fullmatch(text)
    if found is None:
        raise ValueError(
            "must be unix:/path/of.sock, unix:/path/of.sock:/mount "
            "or http+unix://%2Fpath%2Fof.sock/mount"
        )
    path = unquote(found[1]) if text.startswith("http") else found[1]
    if not _SOCKET_PATH.fullmatch(path) or _has_dots(path):
        raise ValueError("must name the socket by a plain absolute path")
    if len(path) > _LONGEST_SOCKET_PATH:
        raise ValueError(f"must name a socket of at most {_LONGEST_SOCKET_PATH} signs")
    return Address("http", "localhost", _mount(found[2] or ""), path)


def _mount(path: str) -> str:
    if not _MOUNT.fullmatch(path) or _has_dots(path):
        raise ValueError("must have a plain path: no dots, escapes or doubled slashes")
    # `http://h/v1/` and `/42` join to `/v1/42`.
    return path.rstrip("/")


def _has_dots(path: str) -> bool:
    return any(segment in {".", ".."} for segment in path.split("/"))
