from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from backoffice.demo.provider_faults import Changes, Fault, changed
from backoffice.demo.provider_keys import KeyRing, SigningKey

KEYS = [SigningKey.new() for _ in range(3)]


class Forger(KeyRing):
    """The provider's keys, in the hands of somebody who signs and publishes at will."""

    def __init__(self) -> None:
        super().__init__(KEYS[:1])
        self.changes: Changes = {}
        self.header: dict[str, Any] = {}
        self.published: list[dict[str, Any]] | None = None

    def jwks(self) -> list[dict[str, Any]]:
        return super().jwks() if self.published is None else self.published

    def sign(
        self,
        claims: Mapping[str, Any],
        *,
        typ: str | None = "JWT",
        fault: Fault | None = None,
    ) -> str:
        claims = changed(claims, self.changes)
        if fault or not self.header:
            return super().sign(claims, typ=typ, fault=fault)
        header = {"typ": typ, "kid": self.current.kid, **self.header}
        kept = {name: value for name, value in header.items() if value is not None}
        return jwt.encode(
            claims, self.current.private, algorithm=kept.get("alg"), headers=kept
        )


class CurveForger(Forger):
    """Signs with an elliptic curve under the name of the published RSA key."""

    def sign(self, claims: Mapping[str, Any], **options: Any) -> str:
        private = ec.generate_private_key(ec.SECP256R1())
        headers = {"kid": self.current.kid}
        return jwt.encode(dict(claims), private, algorithm="ES256", headers=headers)
