"""Ways to walk through the development identity provider without a real browser."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import parse_qsl, quote_plus, urljoin, urlsplit

import requests
from jwt.utils import base64url_encode

from backoffice.demo.provider import Client, Provider

VERIFIER = "v" * 64


class _HiddenInputs(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self.action = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.action = attributes.get("action", "")
        if tag == "input" and attributes.get("type") == "hidden":
            self.found[attributes["name"]] = attributes.get("value", "")


def submit(
    browser: requests.Session, page: requests.Response, **choice: str
) -> requests.Response:
    """Send the page's form, as the button with this name and value would."""
    form = _HiddenInputs()
    form.feed(page.text)
    return browser.post(
        urljoin(page.url, form.action),
        data={**form.found, **choice},
        allow_redirects=False,
    )


def choose(
    browser: requests.Session, page: requests.Response, sub: str
) -> requests.Response:
    """Press a card on the sign-in page; the answer is the redirect to the site."""
    return submit(browser, page, sub=sub)


def parameters_of(redirect: requests.Response) -> dict[str, str]:
    """The parameters in a redirect's address."""
    return dict(parse_qsl(urlsplit(redirect.headers["Location"]).query))


@dataclass
class Party:
    """One browser and one site, talking to the provider as the standards say."""

    provider: Provider
    client: Client
    browser: requests.Session = field(default_factory=requests.Session)

    def ask(self, **changes: str | None) -> requests.Response:
        """The authorization request; a change to None leaves a parameter out."""
        return self.browser.get(
            f"{self.provider.issuer}/authorize",
            params={**self.request(), **changes},
            allow_redirects=False,
        )

    def request(self) -> dict[str, str]:
        return {
            "response_type": "code",
            "client_id": self.client.client_id,
            "redirect_uri": self.client.redirect_uris[0],
            "scope": "openid profile email groups",
            "state": "the-state",
            "nonce": "the-nonce",
            "code_challenge": challenge_of(VERIFIER),
            "code_challenge_method": "S256",
        }

    def sign_in(self, sub: str, **changes: str | None) -> dict[str, str]:
        """The parameters with which the browser comes back to the site."""
        return parameters_of(choose(self.browser, self.ask(**changes), sub))

    def exchange(self, code: str, **changes: str | None) -> requests.Response:
        """The token request, with HTTP Basic unless the changes bring a secret."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.client.redirect_uris[0],
            "code_verifier": VERIFIER,
            **changes,
        }
        return self.token(form)

    def refresh(self, token: str) -> requests.Response:
        return self.token({"grant_type": "refresh_token", "refresh_token": token})

    def revoke(self, token: str, client_secret: str = "") -> requests.Response:
        form = {
            "token": token,
            "client_id": self.client.client_id,
            "client_secret": client_secret or self.client.secret,
        }
        return requests.post(f"{self.provider.issuer}/revoke", data=form, timeout=60)

    def token(self, form: dict[str, str | None]) -> requests.Response:
        # Form-encoded before they are joined (RFC 6749, 2.3.1).
        basic = (quote_plus(self.client.client_id), quote_plus(self.client.secret))
        return requests.post(
            f"{self.provider.issuer}/token",
            data=form,
            auth=None if "client_secret" in form else basic,
            allow_redirects=False,
            timeout=60,
        )

    def tokens(self, sub: str, **changes: str | None) -> dict[str, str]:
        """A whole sign-in: the answer of the token endpoint."""
        answer = self.exchange(self.sign_in(sub, **changes)["code"])
        answer.raise_for_status()
        found: dict[str, str] = answer.json()
        return found

    def userinfo(self, access_token: str) -> requests.Response:
        return requests.get(
            f"{self.provider.issuer}/userinfo",
            headers={"Authorization": f"Bearer {access_token}"},
            allow_redirects=False,
            timeout=60,
        )

    def close(self) -> None:
        self.browser.close()


def challenge_of(verifier: str) -> str:
    return base64url_encode(hashlib.sha256(verifier.encode()).digest()).decode()
