"""Who this site is to a provider, proved with a key instead of a secret (RFC 7523).

A secret goes over the wire with each request, and whoever sees one has it for good. Of
a key only signatures do: each is good for a minute, once, and for one provider alone.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import Self

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
)
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LIFE_SECONDS = 60
MIN_RSA_BITS = 2048


@dataclass(frozen=True, slots=True)
class ClientKey:
    """The private key, and what the provider calls it ("" if it has just this one)."""

    private: RSAPrivateKey | EllipticCurvePrivateKey = field(repr=False)
    algorithm: str
    key_id: str = ""

    @classmethod
    def read(cls, pem: str, key_id: str = "") -> Self:
        """Raises ValueError with a sentence for the operator; the key is not in it."""
        try:
            private = load_pem_private_key(pem.encode(), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise ValueError("is no private key in PEM, or has a password") from None
        match private:
            case RSAPrivateKey() if private.key_size >= MIN_RSA_BITS:
                return cls(private, "RS256", key_id)
            case EllipticCurvePrivateKey() if isinstance(private.curve, SECP256R1):
                return cls(private, "ES256", key_id)
        raise ValueError("must be EC P-256, or RSA of 2048 bits or more")

    def proof(self, client_id: str, audience: str) -> dict[str, str]:
        """What goes into the form of one request (RFC 7521, 4.2; RFC 7523, 3).

        `audience` is the issuer and not the address that is posted to: that one comes
        from a document, and a false one could name another provider's.
        """
        now = int(time.time())
        claims = {
            "iss": client_id,
            "sub": client_id,
            "aud": audience,
            "jti": secrets.token_urlsafe(24),
            "iat": now,
            "exp": now + LIFE_SECONDS,
        }
        header = {"kid": self.key_id} if self.key_id else {}
        signed = jwt.encode(claims, self.private, self.algorithm, headers=header)
        return {"client_assertion_type": TYPE, "client_assertion": signed}
