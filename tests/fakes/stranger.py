"""A provider as other people write them: strict about the question, odd in its answers.

The development provider is as we understand the standards. This one knows a single
person and asks nobody who they are; what it is strict about is what real ones are, and
everything that it says can be changed by a test.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import jwt
from jwt.algorithms import RSAAlgorithm

from backoffice.demo.loopback import LoopbackServer
from backoffice.demo.messages import Request, Response, json_response
from backoffice.demo.provider_faults import changed
from tests.accounts.sso.forger import KEYS

SUB = "the-one"
QUESTION = {
    "client_id",
    "redirect_uri",
    "response_type",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
}
CODE_FORM = {"grant_type", "code", "redirect_uri", "code_verifier"}


@dataclass(frozen=True)
class Instead:
    """An answer that is something else altogether."""

    said: Any


# Changes to what is said (a value of ABSENT leaves it out), or something instead.
Change = dict[str, Any] | Instead | Callable[[dict[str, Any]], dict[str, Any]]


@dataclass
class Stranger:
    """Counts what it had to refuse in `refused`; empty after an honest sign-in."""

    client_id: str
    secret: str
    redirect_uri: str
    private: Any = KEYS[0].private
    keys: list[dict[str, Any]] = field(default_factory=list)
    algorithm: str = "RS256"
    header: dict[str, Any] = field(default_factory=dict)
    discovery: dict[str, Any] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict)
    token_answer: Change = field(default_factory=dict)
    userinfo: Change = field(default_factory=dict)
    content_type: str = "application/json"
    refused: list[str] = field(default_factory=list)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    tokens: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        public = RSAAlgorithm.to_jwk(KEYS[0].private.public_key(), as_dict=True)
        self.keys = self.keys or [{**public, "kid": "k"}]
        self.header = self.header or {"kid": "k"}
        self.server = LoopbackServer(self.answer).start()

    @property
    def issuer(self) -> str:
        return self.server.origin

    def stop(self) -> None:
        self.server.stop()

    def answer(self, request: Request) -> Response:
        path = request.path.rpartition("/")[2]
        found = getattr(self, f"on_{path.replace('-', '_')}", None)
        return found(request) if found else Response(404)

    def on_openid_configuration(self, request: Request) -> Response:
        published = {
            "issuer": self.issuer,
            **{
                name: f"{self.issuer}/{name.partition('_')[0]}"
                for name in (
                    "authorization_endpoint",
                    "token_endpoint",
                    "userinfo_endpoint",
                    "jwks_uri",
                )
            },
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        }
        return self.told(changed(published, self.discovery))

    def on_jwks(self, request: Request) -> Response:
        return self.told({"keys": self.keys})

    def on_authorization(self, request: Request) -> Response:
        asked = request.query
        self.demand(set(asked) == QUESTION, f"parameters {sorted(asked)}")
        self.demand(asked.get("redirect_uri") == self.redirect_uri, "redirect_uri")
        self.demand(asked.get("code_challenge_method") == "S256", "PKCE")
        self.demand(asked.get("scope") == "openid profile email", "scope")
        code = secrets.token_urlsafe(8)
        self.codes[code] = asked
        back = urlencode({"code": code, "state": asked["state"]})
        return Response(302, (("Location", f"{self.redirect_uri}?{back}"),))

    def demand_client(self, request: Request) -> None:
        basic = base64.b64encode(f"{self.client_id}:{self.secret}".encode()).decode()
        self.demand(request.header("Authorization") == f"Basic {basic}", "client")
        self.demand(set(request.form) == CODE_FORM, f"form {sorted(request.form)}")

    def on_token(self, request: Request) -> Response:
        self.demand_client(request)
        asked = self.codes.pop(request.form.get("code", ""), None)
        digest = hashlib.sha256(request.form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        self.demand(request.header("Accept") == "application/json", "Accept")
        self.demand(request.form.get("redirect_uri") == self.redirect_uri, "redirect")
        self.demand(asked is not None, "code used twice")
        self.demand((asked or {}).get("code_challenge") == challenge, "verifier")
        access = secrets.token_urlsafe(16)
        self.tokens += [access, refresh := secrets.token_urlsafe(16)]
        said = {
            "access_token": access,
            "refresh_token": refresh,
            "token_type": "Bearer",
            "expires_in": 300,
            "id_token": self.sign((asked or {}).get("nonce", "")),
        }
        return self.told(applied(self.token_answer, said))

    def on_userinfo(self, request: Request) -> Response:
        scheme, _, token = request.header("Authorization").partition(" ")
        self.demand((scheme, token in self.tokens) == ("Bearer", True), "bearer")
        self.demand("json" in request.header("Accept"), "Accept at userinfo")
        person = {"sub": SUB, "name": "Kim One", "email": "one@example.com"}
        return self.told(applied(self.userinfo, {**person, "groups": ["staff"]}))

    def sign(self, nonce: str, **header: Any) -> str:
        now = int(time.time())
        claims: Mapping[str, Any] = {
            "iss": self.issuer,
            "sub": SUB,
            "aud": self.client_id,
            "iat": now,
            "exp": now + 300,
            "nonce": nonce,
        }
        token = jwt.encode(
            changed(claims, self.claims),
            self.private,
            algorithm=self.algorithm,
            headers={**self.header, **header},
        )
        self.tokens.append(token)
        return token

    def demand(self, is_right: bool, what: str) -> None:
        if not is_right:
            self.refused.append(what)

    def told(self, said: Any) -> Response:
        body = json_response(said).body
        assert isinstance(body, bytes)
        return Response(200, (("Content-Type", self.content_type),), body)


def applied(change: Change, said: dict[str, Any]) -> Any:
    if isinstance(change, Instead):
        return change.said
    return changed(said, change) if isinstance(change, dict) else change(said)
