"""A person who signs in, without a web server: two clients play one browser.

Django's test client is the browser at the site, `requests` the same one at the
development provider, which really runs on a port.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
import requests
from django.http import HttpResponse
from django.test import Client as Browser

from accounts.sessions.store import SessionStore
from backoffice.demo.provider import Provider
from tests.fakes.provider import choose

ADMIN, SUPPORT, FINANCE, CONTRACTOR = (
    "demo-1001",
    "demo-1003",
    "demo-1005",
    "demo-1007",
)
BEGIN, COMPLETE = "/sso/login/oidc/", "/sso/complete/oidc/"


def move(provider: Provider, sub: str, *groups: str) -> None:
    """The company puts this person into these groups and no others."""
    moved = replace(provider.state.staff[sub], groups=groups)
    provider.state.staff[sub] = moved


class Person:
    """`name` is that of the provider here, at whose button this person begins."""

    def __init__(
        self, provider: Provider, sub: str = SUPPORT, name: str = "oidc"
    ) -> None:
        self.provider, self.sub, self.name = provider, sub, name
        self.site = Browser()
        self.http = requests.Session()
        self.http.trust_env = False

    def begin(self, target: str = "/") -> HttpResponse:
        """Presses the button on the sign-in page."""
        answer: HttpResponse = self.site.post(
            f"/sso/login/{self.name}/", {"next": target}
        )
        return answer

    def asked(self, target: str = "/") -> dict[str, str]:
        """What the site asks of the provider in the address it sends people to."""
        return dict(parse_qsl(urlsplit(self.begin(target)["Location"]).query))

    def authorize(self, address: str, sub: str = "") -> str:
        """Picks a card at the provider; gives the way back, not yet walked."""
        page = self.http.get(address, allow_redirects=False)
        if page.status_code == 200:
            page = choose(self.http, page, sub or self.sub)
        return page.headers["Location"]

    def callback(self, sub: str = "", target: str = "/") -> str:
        return self.authorize(self.begin(target)["Location"], sub)

    def come_back(self, address: str, **changes: str | None) -> HttpResponse:
        """Walks the way back; a change to None leaves a parameter out."""
        parts = urlsplit(address)
        said: dict[str, Any] = {**dict(parse_qsl(parts.query)), **changes}
        kept = {name: value for name, value in said.items() if value is not None}
        path = parts.path or f"/sso/complete/{self.name}/"
        answer: HttpResponse = self.site.get(f"{path}?{urlencode(kept)}")
        return answer

    def sign_in(self, sub: str = "", target: str = "/") -> HttpResponse:
        """The whole way."""
        return self.come_back(self.callback(sub, target))

    @property
    def session_key(self) -> str | None:
        cookie = self.site.cookies.get("session_id")
        return cookie.value or None if cookie else None

    @property
    def session(self) -> SessionStore:
        return SessionStore(self.session_key)

    @property
    def signed_in_as(self) -> str | None:
        record = self.session.record
        return record.data["profile"]["sub"] if record and record.person else None

    def close(self) -> None:
        self.http.close()


def refusals(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The log lines about sign-ins that were refused."""
    lines = [record.getMessage() for record in caplog.records]
    return [line for line in lines if line.startswith("sign_in_refused")]


def assert_signed_in(answer: HttpResponse, person: Person, sub: str = "") -> None:
    assert (answer.status_code, answer["Location"]) == (302, "/")
    assert person.signed_in_as == (sub or person.sub)


def assert_refused(
    answer: HttpResponse,
    person: Person,
    caplog: pytest.LogCaptureFixture,
    *,
    kind: str,
    status: int,
    why: str = "",
) -> None:
    """One page of our own, one line in the log, nobody signed in, nothing left."""
    assert answer.status_code == status
    assert b"<h1>" in answer.content
    assert "no-store" in answer["Cache-Control"]
    assert person.signed_in_as is None
    (line,) = refusals(caplog)
    assert f"kind={kind} " in line
    assert why in line
