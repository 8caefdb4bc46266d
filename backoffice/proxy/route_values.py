"""What each key of a route may hold. Every check raises ValueError in plain words."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Mapping
from enum import StrEnum

from backoffice.proxy.address import parse_address
from backoffice.proxy.header_names import OPTIONAL_ANSWER_FIELDS

READS = frozenset({"GET", "HEAD"})
# TRACE would echo what the gate adds; CONNECT would open a tunnel past it.
SAFE = READS | {"OPTIONS"}
METHODS = SAFE | {"POST", "PUT", "PATCH", "DELETE"}

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_PREFIX = re.compile(r"[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*){0,7}")
_LONGEST_PREFIX = 200
_FIELD_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
_COOKIE_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_AUDIENCE = re.compile(r"[!-~]{1,200}")
# More of total time than any stream needs, and more of a field than any server takes.
_LONGEST_SECONDS = 24 * 3600
_HEADER_BYTES = range(256, 1024 * 1024 + 1)
# More than any upload, and less than what nginx cannot count.
_LARGEST_BODY = 1024**4


class Identity(StrEnum):
    """How the upstream learns who is calling."""

    HEADERS = "headers"
    TOKEN = "token"  # noqa: S105 - a word of the route table
    NONE = "none"


class Cache(StrEnum):
    """Whether a browser may keep an answer.

    `REVALIDATE`: it may, and asks each time before it uses it, so that every use
    passes the gate and an unchanged answer is a 304.
    """

    NO_STORE = "no-store"
    REVALIDATE = "revalidate"


class KeepAlive(StrEnum):
    """Who uses a connection to the upstream again."""

    PERSON = "person"
    SHARED = "shared"
    OFF = "off"


def _name(value: object) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError("must be lower-case letters, digits and hyphens, at most 63")
    return value


def _upstream(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be an address that begins with http:// or https://")
    parse_address(value)
    return value.rstrip("/")


def _prefix(value: object) -> str:
    text = value.strip("/") if isinstance(value, str) else ""
    # Dots may stand within a name. Two in a row, or one at an end, mean something else
    # to somebody.
    if not _PREFIX.fullmatch(text) or ".." in text or "./" in f"{text}/":
        raise ValueError(
            "must be one to eight names of lower-case letters, digits, "
            "hyphens, underscores and inner dots, joined by slashes"
        )
    if len(text) > _LONGEST_PREFIX:
        raise ValueError(f"must have at most {_LONGEST_PREFIX} signs")
    return text


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


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a number of seconds")
    if not 0 < value <= _LONGEST_SECONDS:
        raise ValueError(f"must be above 0 and at most {_LONGEST_SECONDS} seconds")
    return float(value)


def _bytes(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError("must be a whole number of bytes")
    return value


def _body_bytes(value: object) -> int:
    if _bytes(value) > _LARGEST_BODY:
        raise ValueError(f"must be at most {_LARGEST_BODY} bytes")
    return _bytes(value)


def _header_bytes(value: object) -> int:
    if _bytes(value) not in _HEADER_BYTES:
        lowest, highest = _HEADER_BYTES[0], _HEADER_BYTES[-1]
        raise ValueError(f"must be between {lowest} and {highest} bytes")
    return _bytes(value)


def _identity(value: object) -> Identity:
    if value not in list(Identity):
        raise ValueError(f"must be one of {', '.join(Identity)}")
    return Identity(str(value))


def _cache(value: object) -> Cache:
    if value not in list(Cache):
        raise ValueError(f"must be one of {', '.join(Cache)}")
    return Cache(str(value))


def _keepalive(value: object) -> KeepAlive:
    if value not in list(KeepAlive):
        raise ValueError(f"must be one of {', '.join(KeepAlive)}")
    return KeepAlive(str(value))


def _audience(value: object) -> str:
    if not isinstance(value, str) or not _AUDIENCE.fullmatch(value):
        raise ValueError("must be a text of up to 200 visible ASCII signs")
    return value


def _shown_fields(value: object) -> frozenset[str]:
    names = _field_names(value)
    unknown = ", ".join(sorted(names - OPTIONAL_ANSWER_FIELDS))
    if unknown:
        known = ", ".join(sorted(OPTIONAL_ANSWER_FIELDS))
        raise ValueError(f"unknown {unknown}; these may be let through: {known}")
    return names


def _field_names(value: object) -> frozenset[str]:
    names = frozenset(name.lower() for name in _texts(value))
    for name in sorted(names):
        if not _FIELD_NAME.fullmatch(name):
            raise ValueError(f"must hold names of header fields, not {name!r}")
    return names


def _cookie_names(value: object) -> frozenset[str]:
    names = _texts(value)
    if not names:
        raise ValueError("must not be empty: leave it out")
    for name in sorted(names):
        if not _COOKIE_NAME.fullmatch(name):
            raise ValueError(f"must hold plain names of cookies, not {name!r}")
    return names


def _authorities(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("must be the path of a file")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(value)
    except (OSError, ValueError) as error:
        raise ValueError(f"must name a file of certificates (PEM): {error}") from error
    return value


CHECKS: Mapping[str, Callable[[object], object]] = {
    "name": _name,
    "upstream": _upstream,
    "prefix": _prefix,
    "groups": _groups,
    "methods": _methods,
    "writes": _boolean,
    "write_groups": _groups,
    "connect_timeout": _seconds,
    "read_timeout": _seconds,
    "total_timeout": _seconds,
    "max_body": _body_bytes,
    "max_header": _header_bytes,
    "identity": _identity,
    "audience": _audience,
    "response_headers": _shown_fields,
    "hide_headers": _field_names,
    "cookies": _cookie_names,
    "cache": _cache,
    "keepalive": _keepalive,
    "ca_file": _authorities,
}
