"""A provider that takes no secrets: clients prove themselves with a key (RFC 7523)."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import Any

import jwt

from backoffice.demo.messages import Request, Response
from tests.fakes.stranger import CODE_FORM, Stranger

ASSERTED = {"client_id", "client_assertion_type", "client_assertion"}
REFRESH_FORM = {"grant_type", "refresh_token"}
REVOCATION_FORM = {"token", "token_type_hint"}


@dataclass
class Keyed(Stranger):
    """Verifies each proof to the letter; `proofs` are the claims of those it took."""

    public: Any = None
    accepted: str = "ES256"
    audience: str = ""
    proofs: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, Any]] = field(default_factory=list)
    revoked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.discovery = {
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "revocation_endpoint": f"{self.issuer}/revocation",
        }

    def demand_client(self, request: Request) -> None:
        self.demand_proof(request, CODE_FORM)

    def on_token(self, request: Request) -> Response:
        if request.form.get("grant_type") != "refresh_token":
            return super().on_token(request)
        self.demand_proof(request, REFRESH_FORM)
        self.demand(request.form["refresh_token"] in self.tokens, "refresh token")
        self.tokens.append(access := secrets.token_urlsafe(16))
        said = {"access_token": access, "token_type": "Bearer", "expires_in": 300}
        return self.told({**said, "id_token": self.sign(self.nonce)})

    def on_revocation(self, request: Request) -> Response:
        self.demand_proof(request, REVOCATION_FORM)
        self.revoked.append(request.form["token"])
        return Response(200)

    @property
    def nonce(self) -> str:
        """That of the last ID token."""
        token = next(each for each in reversed(self.tokens) if each.count(".") == 2)
        claims = jwt.decode(token, options={"verify_signature": False})
        return str(claims["nonce"])

    def demand_proof(self, request: Request, form: set[str]) -> None:
        sent = request.form
        self.demand(set(sent) == form | ASSERTED, f"form {sorted(sent)}")
        self.demand(not request.header("Authorization"), "a secret as well")
        self.demand(
            sent.get("client_assertion_type", "").endswith(":jwt-bearer"), "type"
        )
        try:
            self.take(sent.get("client_assertion", ""))
        except jwt.PyJWTError as error:
            self.refused.append(f"assertion: {error}")

    def take(self, assertion: str) -> None:
        claims = jwt.decode(
            assertion,
            self.public,
            algorithms=[self.accepted],
            audience=self.audience or self.issuer,
            issuer=self.client_id,
            options={"require": ["iss", "sub", "aud", "jti", "exp", "iat"]},
        )
        self.demand(isinstance(claims["aud"], str), "one audience")
        self.demand(claims["sub"] == self.client_id, "subject")
        self.demand(claims["exp"] - time.time() <= 60, "a minute at most")
        earlier = {proof["jti"] for proof in self.proofs}
        self.demand(claims["jti"] not in earlier, "used twice")
        self.proofs.append(claims)
        self.headers.append(jwt.get_unverified_header(assertion))
