"""Who is calling, as a short signed token (JWT, RFC 7519; EdDSA, RFC 8037).

An upstream that anyone inside can reach must not believe plain fields. It checks the
signature with the keys at `/.well-known/jwks.json`, the audience, which is its route's,
and `exp`. The token says what was true when the call passed the gate and nothing about
later: a session killed after that cannot make a new one, and this one is of no use to
anyone after LIFE_SECONDS. It is not meant for one use (no `jti`): the calls of one
session within REUSE_SECONDS carry the same.

The keys are derived from SECRET_KEY and its fallbacks, so that all processes sign alike
with nothing to share or to store, and a rotated secret is a rotated key: the newest
signs, and all are published.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.conf import settings

from accounts.profile import StaffProfile
from accounts.sessions import clock

ALGORITHM = "EdDSA"
LIFE_SECONDS = 60
REUSE_SECONDS = 10
_PURPOSE = b"backoffice/identity/1"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key pair; `kid` is the thumbprint of the public half (RFC 7638)."""

    private: Ed25519PrivateKey
    kid: str
    x: str

    def public(self) -> dict[str, str]:
        """The public half as a JSON Web Key (RFC 7517)."""
        return {
            "kty": "OKP",
            "crv": "Ed25519",
            "x": self.x,
            "kid": self.kid,
            "use": "sig",
            "alg": ALGORITHM,
        }


def identity_token(profile: StaffProfile, session_id: str, audience: str) -> str:
    """The token for one upstream; valid for LIFE_SECONDS at most, 50 at least."""
    began = int(clock.now()) // REUSE_SECONDS * REUSE_SECONDS
    return _signed(signing_keys()[0], profile, session_id, audience, began)


def key_set() -> dict[str, Any]:
    """Every key that a live token may be signed with (RFC 7517, 5)."""
    return {"keys": [key.public() for key in signing_keys()]}


def signing_keys() -> tuple[SigningKey, ...]:
    """The newest first."""
    return _derive((settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))


@lru_cache(maxsize=4096)
def _signed(
    key: SigningKey, profile: StaffProfile, session_id: str, audience: str, began: int
) -> str:
    claims = {
        "iss": settings.SITE_URL,
        "aud": audience,
        "iat": began,
        "exp": began + LIFE_SECONDS,
        "sub": profile.sub,
        "sid": session_id,
        "preferred_username": profile.username,
        "name": profile.name,
        "email": profile.email,
        "department": profile.department,
        "groups": list(profile.groups),
    }
    return jwt.encode(
        claims, key.private, algorithm=ALGORITHM, headers={"kid": key.kid}
    )


@lru_cache(maxsize=8)
def _derive(secrets: tuple[str, ...]) -> tuple[SigningKey, ...]:
    return tuple(_key(secret) for secret in secrets)


def _key(secret: str) -> SigningKey:
    hkdf = HKDF(algorithm=SHA256(), length=32, salt=None, info=_PURPOSE)
    private = Ed25519PrivateKey.from_private_bytes(hkdf.derive(secret.encode()))
    raw = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    x = _base64url(raw)
    members = json.dumps(
        {"crv": "Ed25519", "kty": "OKP", "x": x}, separators=(",", ":")
    )
    return SigningKey(private, _base64url(hashlib.sha256(members.encode()).digest()), x)


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
