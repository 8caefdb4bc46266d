"""Door 3's rules: what the nginx script must know to decide without asking us.

It opens sealed sessions and signs identity tokens, so it gets keys for that: each
derived from SECRET_KEY for its one purpose. SECRET_KEY itself, from which every other
key could be made, never leaves Python.
"""

from __future__ import annotations

import unicodedata
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from django.conf import settings

from accounts import keys
from accounts.sessions import record, seal, store
from backoffice.proxy.errors import DoorError
from backoffice.proxy.identity_token import SigningKey, signing_keys


def door_rules(site: str, judges: bool = True) -> dict[str, Any]:
    """Store, keys and clocks; `site` is host:port of a web server of this site.

    A door that does not judge itself is told only where the site is. Raises DoorError
    when the store is of a kind that the script cannot ask.
    """
    host, _, port = site.rpartition(":")
    if not host or not port.isdigit():
        raise DoorError(f"--site needs host:port, not {site!r}")
    name = urlsplit(settings.SITE_URL).netloc
    where = {"site": {"host": host, "port": int(port), "name": name}}
    return {**where, **_judging()} if judges else where


def _judging() -> dict[str, Any]:
    return {
        "issuer": settings.SITE_URL,
        "store": _store(),
        "secrets": _secrets(),
        "clock_leeway_ms": record.CLOCK_LEEWAY_SECONDS * 1000,
        "touch_ms": store.TOUCH_SECONDS * 1000,
        "folds": _folds(),
        "spaces": _spaces(),
    }


def _store() -> dict[str, Any]:
    if settings.STORE.kind != "single":
        raise DoorError(
            "the nginx script asks one Redis or Valkey server, not a "
            f"{settings.STORE.kind}: keep doors 1 and 2 for it"
        )
    url = urlsplit(settings.STORE.url)
    is_socket = url.scheme == "unix"
    database = (
        parse_qs(url.query).get("db", ["0"])[0] if is_socket else url.path.strip("/")
    )
    return {
        "host": None if is_socket else url.hostname or "localhost",
        "port": None if is_socket else url.port or 6379,
        "socket": unquote(url.path) if is_socket else None,
        "tls": url.scheme == "rediss",
        "db": int(database or 0),
        "user": unquote(url.username) if url.username else None,
        "password": unquote(url.password) if url.password else None,
    }


def _secrets() -> list[dict[str, str]]:
    """One entry for each secret still accepted, the newest first."""
    return [
        {
            "names": names.hex(),
            "seal": sealing.hex(),
            "id": secret_id.hex(),
            "sign": _raw(key),
            "kid": key.kid,
        }
        for names, (sealing, secret_id), key in zip(
            keys.roots(), seal.roots(), signing_keys(), strict=True
        )
    ]


def _raw(key: SigningKey) -> str:
    return key.private.private_bytes(
        Encoding.Raw, PrivateFormat.Raw, NoEncryption()
    ).hex()


def _folds() -> dict[str, str]:
    """Every sign that NFKC turns into a text with ASCII in it: LuaJIT has no tables."""
    signs = (chr(point) for point in range(0x80, 0x110000) if not _is_surrogate(point))
    folded = ((sign, unicodedata.normalize("NFKC", sign)) for sign in signs)
    return {
        sign: text
        for sign, text in folded
        if text != sign and any(map(str.isascii, text))
    }


def _spaces() -> list[str]:
    """What str.strip takes off a normalised text, control signs apart."""
    signs = (chr(point) for point in range(0x20, 0x110000) if not _is_surrogate(point))
    return [
        sign
        for sign in signs
        if sign.isspace()
        and unicodedata.category(sign) != "Cc"
        and unicodedata.normalize("NFKC", sign) == sign
    ]


def _is_surrogate(point: int) -> bool:
    return 0xD800 <= point < 0xE000
