"""Whether one of the provider's published keys has signed a token."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import jwt

ASYMMETRIC = re.compile(r"(RS|PS|ES)(256|384|512)|EdDSA")

Key = Mapping[str, Any]


class Wrong(Exception):
    """Signed by somebody else, if at all. Its text is for the log."""


def is_asymmetric(algorithm: str) -> bool:
    """A key that is published proves nothing when it is a shared secret."""
    return bool(ASYMMETRIC.fullmatch(algorithm))


def check(token: str, algorithm: str, keys: Iterable[Key]) -> None:
    """Raises Wrong unless one of these keys (JWK) has signed it by this algorithm."""
    is_known = False
    # One by one, since the provider may have to be asked for the later ones.
    for key in keys:
        if key.get("use", "sig") != "sig" or key.get("alg", algorithm) != algorithm:
            continue
        is_known = True
        if _is_signed_with(key, token, algorithm):
            return
    raise Wrong(
        "the signature is wrong" if is_known else "the key is not one of the provider's"
    )


def _is_signed_with(key: Key, token: str, algorithm: str) -> bool:
    try:
        public = jwt.PyJWK(dict(key), algorithm=algorithm)
        jwt.PyJWS().decode_complete(
            token,
            public,
            algorithms=[algorithm],
            options={"enforce_minimum_key_length": True},
        )
    except (jwt.PyJWTError, ValueError, TypeError):
        # Wrong, or a key that nobody can use: one such must not hide the others.
        return False
    return True
