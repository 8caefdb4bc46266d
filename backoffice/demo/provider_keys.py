from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from jwt.algorithms import RSAAlgorithm
from jwt.types import Options
from jwt.utils import base64url_encode

from backoffice.demo.provider_faults import Fault

ALGORITHM = "RS256"
KEY_BITS = 2048
ONLY_SIGNATURE_AND_ISSUER: Options = {
    "verify_exp": False,
    "verify_iat": False,
    "verify_aud": False,
}


@dataclass(frozen=True)
class SigningKey:
    """One RSA key pair and the id under which its public half is published."""

    kid: str
    private: RSAPrivateKey

    @classmethod
    def new(cls) -> SigningKey:
        private = generate_private_key(public_exponent=65537, key_size=KEY_BITS)
        return cls(secrets.token_hex(8), private)

    @classmethod
    def from_pem(cls, kid: str, pem: str) -> SigningKey:
        """Raises ValueError if that is no RSA key."""
        private = load_pem_private_key(pem.encode(), password=None)
        if not isinstance(private, RSAPrivateKey):
            raise ValueError("not an RSA key")
        return cls(kid, private)

    def to_pem(self) -> str:
        form = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return self.private.private_bytes(*form).decode()

    def public_pem(self) -> bytes:
        form = (Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return self.private.public_key().public_bytes(*form)

    def jwk(self) -> dict[str, Any]:
        """The public half, as RFC 7517 publishes it."""
        public = RSAAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
        return {**public, "kid": self.kid, "use": "sig", "alg": ALGORITHM}


class KeyRing:
    """The keys the provider publishes; the first one signs."""

    def __init__(self, keys: list[SigningKey] | None = None) -> None:
        self.keys = keys or [SigningKey.new()]

    @property
    def current(self) -> SigningKey:
        return self.keys[0]

    def rotate(self) -> None:
        """Sign with a new key from now on; the old ones stay published."""
        self.keys = [SigningKey.new(), *self.keys]

    def drop_old(self) -> None:
        """Publish only the key that signs."""
        self.keys = self.keys[:1]

    def jwks(self) -> list[dict[str, Any]]:
        return [key.jwk() for key in self.keys]

    def sign(
        self,
        claims: Mapping[str, Any],
        *,
        typ: str | None = "JWT",
        fault: Fault | None = None,
    ) -> str:
        """A signed token, or one whose signature is wrong in the way of `fault`."""
        header = {"typ": typ, "kid": self.current.kid}
        match fault:
            case Fault.ALG_NONE:
                return jwt.encode(dict(claims), "", algorithm="none", headers=header)
            case Fault.ALG_HS256:
                return sign_with_public_key(claims, header, self.current.public_pem())
            case Fault.KEY_UNKNOWN:
                header["kid"] = "never-published"
        wrong = fault in {Fault.KEY_WRONG, Fault.KEY_UNKNOWN}
        key = SigningKey.new() if wrong else self.current
        return jwt.encode(
            dict(claims), key.private, algorithm=ALGORITHM, headers=header
        )

    def verify(self, token: str, *, issuer: str) -> dict[str, Any] | None:
        """The claims of a token of ours, however old; None for any other."""
        for key in self.keys:
            try:
                return jwt.decode(
                    token,
                    key.private.public_key(),
                    algorithms=[ALGORITHM],
                    issuer=issuer,
                    options={
                        "verify_exp": False,
                        "verify_iat": False,
                        "verify_aud": False,
                    },
                )
            except jwt.InvalidTokenError:
                continue
        return None


def sign_with_public_key(
    claims: Mapping[str, Any], header: Mapping[str, Any], public_pem: bytes
) -> str:
    """The classic forgery: HMAC with the published key as if it were a secret.

    By hand, because PyJWT refuses to take part.
    """
    parts = [{**header, "alg": "HS256"}, dict(claims)]
    signed = b".".join(base64url_encode(json.dumps(part).encode()) for part in parts)
    mac = hmac.digest(public_pem, signed, hashlib.sha256().name)
    return b".".join([signed, base64url_encode(mac)]).decode()
