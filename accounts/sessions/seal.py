"""Authenticated encryption of what lies in the store.

The threat is somebody who reads the store (a backup, a replica, MONITOR) or writes
to it. Reading gives nobody a login or a name; writing gives nobody a login.

A sealed value is `version (1) | secret (4) | nonce (12) | ciphertext and tag`, under
AES-256-GCM (NIST SP 800-38D). The AES key is derived for each store key name, so a
value copied to another name does not open there: the binding needs no trust in
whoever moves values about. A key of its own also keeps every nonce of 96 random bits
among the few writes of one session.

`secret` names which of SECRET_KEY and its fallbacks sealed the value: rotating the
secret signs nobody out, and a value is sealed with the newest at its next write.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Iterable, Iterator
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

VERSION = b"\x01"
HEADER_BYTES = 17
MAX_BYTES = 64 * 1024


class NotSealed(Exception):
    """The value was not sealed by us for this name, or was altered since."""


def seal(name: str, content: bytes) -> bytes:
    """The content, readable only by us and only under this store key name."""
    root, secret_id = roots()[0]
    nonce = os.urandom(12)
    return (
        VERSION + secret_id + nonce + _cipher(root, name).encrypt(nonce, content, b"")
    )


def unseal(name: str, sealed: bytes) -> bytes:
    """The content sealed under this name; raises NotSealed for anything else."""
    if not HEADER_BYTES < len(sealed) <= MAX_BYTES or sealed[:1] != VERSION:
        raise NotSealed("form")
    for root, secret_id in roots():
        if secret_id == sealed[1:5]:
            nonce, body = sealed[5:HEADER_BYTES], sealed[HEADER_BYTES:]
            try:
                return _cipher(root, name).decrypt(nonce, body, b"")
            except InvalidTag:
                raise NotSealed("tag") from None
    raise NotSealed("secret")


def unseal_each(name: str, values: Iterable[bytes]) -> Iterator[bytes | None]:
    """As `unseal`, for many values under one name; None for what is not sealed."""
    ciphers = {secret_id: _cipher(root, name) for root, secret_id in roots()}
    for sealed in values:
        cipher = ciphers.get(sealed[1:5]) if sealed[:1] == VERSION else None
        try:
            nonce, body = sealed[5:HEADER_BYTES], sealed[HEADER_BYTES:]
            yield cipher.decrypt(nonce, body, b"") if cipher else None
        except (InvalidTag, ValueError):
            yield None


def header(sealed: bytes) -> bytes:
    """The part that is never the same twice: names one write of one value."""
    return sealed[:HEADER_BYTES]


# To derive the key and set the cipher up takes longer than to open a value.
@lru_cache(maxsize=4096)
def _cipher(root: bytes, name: str) -> AESGCM:
    return AESGCM(hmac.digest(root, name.encode(), "sha256"))


def roots() -> tuple[tuple[bytes, bytes], ...]:
    """Each secret's sealing key and the four bytes that name it, the newest first."""
    return _derive((settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))


@lru_cache(maxsize=8)
def _derive(secrets: tuple[str, ...]) -> tuple[tuple[bytes, bytes], ...]:
    roots = (
        hmac.digest(secret.encode(), b"backoffice/store/seal/1", "sha256")
        for secret in secrets
    )
    return tuple((root, hmac.digest(root, b"id", "sha256")[:4]) for root in roots)
