"""What each key of a route may hold. Every check raises ValueError in plain words."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

READS = frozenset({"GET", "HEAD"})
# TRACE would echo what the gate adds; CONNECT would open a tunnel past it.
METHODS = READS | {"OPTIONS", "POST", "PUT", "PATCH", "DELETE"}

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_ADDRESS = re.compile(r"https?://[!-~]+")
_SERVER = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:\d+)?", re.ASCII)
_MOUNT = re.compile(r"(/[\w\-.~!$&'()*+,;=:@]+)*/?", re.ASCII)


class Identity(StrEnum):
    """How the upstream learns who is calling."""

    HEADERS = "headers"
    NONE = "none"


def _name(value: object) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError("must be lower-case letters, digits and hyphens, at most 63")
    return value


def _upstream(value: object) -> str:
    if not isinstance(value, str) or not _ADDRESS.fullmatch(value):
        raise ValueError("must be an address that begins with http:// or https://")
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"is not an address: {error}") from error
    if "@" in parts.netloc:
        raise ValueError("must not hold a user or password")
    if not _SERVER.fullmatch(parts.netloc) or port == 0:
        raise ValueError("must name a host and, if any, a port above 0")
    if "?" in value or "#" in value:
        raise ValueError("must not hold a query or a fragment")
    if not _MOUNT.fullmatch(parts.path) or _has_dots(parts.path):
        raise ValueError("must have a plain path: no dots, escapes or doubled slashes")
    # `http://h/v1/` and `/42` join to `/v1/42`.
    return value.rstrip("/")


def _has_dots(path: str) -> bool:
    return any(segment in {".", ".."} for segment in path.split("/"))


def _groups(value: object) -> frozenset[str]:
    groups = _texts(value)
    if not groups:
        # Somebody meant "nobody" or "everybody"; a guess would be wrong for one.
        raise ValueError("must not be empty: leave it out to admit every staff member")
    return groups


def _methods(value: object) -> frozenset[str]:
    methods = _texts(value)
    unknown = ", ".join(sorted(methods - METHODS))
    if not methods or unknown:
        known = ", ".join(sorted(METHODS))
        raise ValueError(f"unknown {unknown or 'empty list'}; choose from {known}")
    return methods | {"HEAD"} if "GET" in methods else methods


def _texts(value: object) -> frozenset[str]:
    if not isinstance(value, list) or not all(
        isinstance(text, str) and text.strip() == text != "" for text in value
    ):
        raise ValueError("must be a list of texts, none of them empty")
    return frozenset(value)


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a number of seconds")
    if not math.isfinite(value) or value <= 0:
        raise ValueError("must be a number of seconds above 0")
    return float(value)


def _bytes(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError("must be a whole number of bytes")
    return value


def _identity(value: object) -> Identity:
    if value not in list(Identity):
        raise ValueError(f"must be one of {', '.join(Identity)}")
    return Identity(str(value))


def _file(value: object) -> str:
    if not isinstance(value, str) or not Path(value).is_file():
        raise ValueError("must be the path of a file that is there")
    return value


CHECKS: Mapping[str, Callable[[object], object]] = {
    "name": _name,
    "upstream": _upstream,
    "groups": _groups,
    "methods": _methods,
    "connect_timeout": _seconds,
    "read_timeout": _seconds,
    "total_timeout": _seconds,
    "max_body": _bytes,
    "identity": _identity,
    "ca_file": _file,
}
