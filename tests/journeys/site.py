"""The whole house for a journey: store, provider, upstream and the site itself.

Each is the real thing in a process or on a socket of its own; the site runs on the
production web server with two workers.
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import requests

from backoffice.demo.children import Child
from backoffice.demo.provider import Client, Provider
from backoffice.demo.store import EmbeddedStore
from backoffice.demo.upstream import Upstream
from tests.ports import reserved_port
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
COOKIE = "session_id"
SIGN_IN_COOKIE = "sign_in"
ADMIN, SUPPORT, FINANCE, CONTRACTOR = (
    "demo-1001",
    "demo-1003",
    "demo-1005",
    "demo-1007",
)


@dataclass
class Site:
    url: str
    folder: Path
    store: EmbeddedStore
    provider: Provider
    upstream: Upstream
    environment: dict[str, str]
    server: Child | None = None

    def browser(self) -> Browser:
        return Browser(self.url)

    def manage(
        self, *arguments: str, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Runs a management command as an operator would."""
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=check,
            stdin=subprocess.DEVNULL,
        )

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Looks into the database, behind the site's back."""
        with sqlite3.connect(self.folder / "db.sqlite3") as connection:
            found = connection.execute(query, values).fetchall()
        connection.close()
        return found


class Browser:
    """A person with a browser: follows redirects, fills in forms, keeps cookies."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = requests.Session()
        self.http.trust_env = False

    @property
    def session_key(self) -> str | None:
        found = [c.value for c in self.http.cookies if c.name == COOKIE]
        return found[0] if found else None

    def get(self, path: str, **kwargs: Any) -> requests.Response:
        return self.http.get(urljoin(self.url, path), timeout=60, **kwargs)

    def call(self, path: str, method: str = "GET", **kwargs: Any) -> requests.Response:
        """What a page's script sends: never follows a redirect."""
        headers = {"X-Backoffice": "1", "Origin": self.url, **kwargs.pop("headers", {})}
        return self.http.request(
            method,
            urljoin(self.url, path),
            headers=headers,
            allow_redirects=False,
            timeout=60,
            **kwargs,
        )

    def submit(
        self, page: requests.Response, action: str, **fields: Any
    ) -> requests.Response:
        """Sends the form of this page whose action contains `action`."""
        data = {**hidden_fields(page.text, action), **fields}
        target = urljoin(page.url, form_action(page.text, action))
        headers = {"Referer": page.url}
        return self.http.post(target, data=data, headers=headers, timeout=60)

    def choose_provider(self, next_path: str = "/") -> requests.Response:
        """From our sign-in page to the provider's page of people."""
        page = self.get("/sign-in/", params={"next": next_path})
        return self.submit(page, "/sso/login/oidc/")

    def sign_in(self, sub: str, next_path: str = "/") -> requests.Response:
        """The whole way; gives the page on which it ends."""
        people = self.choose_provider(next_path)
        return self.submit(people, "/sign-in", sub=sub)


def hidden_fields(html: str, action: str) -> dict[str, str]:
    """The hidden inputs of one form."""
    found: dict[str, str] = {}
    for tag in re.findall(r"<input[^>]*>", _form(html, action)):
        if 'type="hidden"' in tag:
            name = re.search(r'name="([^"]*)"', tag)
            value = re.search(r'value="([^"]*)"', tag)
            if name:
                found[name[1]] = unescape(value[1]) if value else ""
    return found


def form_action(html: str, action: str) -> str:
    match = re.search(r'action="([^"]*)"', _form(html, action))
    assert match
    return unescape(match[1])


def _form(html: str, action: str) -> str:
    for form in re.findall(r"<form.*?</form>", html, re.DOTALL):
        found = re.search(r'action="([^"]*)"', form)
        if found and action in found[1]:
            return form
    raise AssertionError(f"no form with {action!r} in the page:\n{html[:2000]}")


ROUTES = """
[[route]]
name = "echo"
upstream = "{upstream}/v1/echo"
methods = ["GET", "HEAD", "POST", "PUT", "DELETE"]

[[route]]
name = "members"
upstream = "{upstream}/v1/members"
groups = ["support", "operations"]

[[route]]
name = "reports"
upstream = "{upstream}/v1/reports"
groups = ["finance"]

[[route]]
name = "upstream"
upstream = "{upstream}/v1"
"""


@contextmanager
def running_site(folder: Path, **changes: str) -> Iterator[Site]:
    """Starts everything in `folder`; `changes` go into the site's environment."""
    port = reserved_port()
    url = f"http://localhost:{port}"
    client = Client(
        client_id="backoffice",
        secret="a client secret",
        redirect_uris=(f"{url}/sso/complete/oidc/",),
        post_logout_redirect_uris=(f"{url}/signed-out/",),
        backchannel_logout_uri=f"{url}/sso/backchannel-logout/",
    )
    with (
        EmbeddedStore(folder / "store") as store,
        Provider(clients=[client]) as provider,
        _started(Upstream()) as upstream,
    ):
        routes = folder / "routes.toml"
        routes.write_text(ROUTES.format(upstream=upstream.origin))
        environment = _environment(folder, port, store, provider) | changes
        site = Site(url, folder, store, provider, upstream, environment)
        shutil.copy(_migrated(site), folder / "db.sqlite3")
        server = Child(
            "site",
            [sys.executable, "-m", "gunicorn", "-c", "backoffice/server.py"],
            log=folder / "site.log",
            environment=environment,
            folder=ROOT,
        )
        try:
            wait_until(lambda: not server.is_alive() or _answers(url))
            assert server.is_alive(), server.last_lines(40)
            site.server = server
            yield site
        finally:
            server.stop(10)


_migrated_database: Path | None = None


def _migrated(site: Site) -> Path:
    """A database with all tables and nothing in them, made once for all sites."""
    global _migrated_database
    if _migrated_database is None:
        site.manage("migrate", "--verbosity", "0")
        made = site.folder / "db.sqlite3"
        with closing(sqlite3.connect(made)) as database:
            # Whatever still lies in the log beside it.
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        _migrated_database = made.rename(site.folder / "migrated.sqlite3")
    return _migrated_database


def _environment(
    folder: Path, port: int, store: EmbeddedStore, provider: Provider
) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "DEBUG": "false",
        "SECRET_KEY": "journeys-only-" * 4,
        "SITE_URL": f"http://localhost:{port}",
        "ALLOWED_HOSTS": "localhost,127.0.0.1",
        "PORT": str(port),
        "DATABASE_URL": f"sqlite:///{folder / 'db.sqlite3'}",
        "REDIS_URL": store.url,
        "OIDC_ISSUER": provider.issuer,
        "OIDC_CLIENT_ID": "backoffice",
        "OIDC_CLIENT_SECRET": "a client secret",
        "STAFF_GROUPS": "staff",
        "ADMIN_GROUPS": "security-admins",
        "ROUTES_FILE": str(folder / "routes.toml"),
        "DJANGO_SETTINGS_MODULE": "tests.journeys.settings",
    }


@contextmanager
def _started(upstream: Upstream) -> Iterator[Upstream]:
    upstream.start()
    try:
        yield upstream
    finally:
        upstream.stop()


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/livez", timeout=2).ok
    except requests.RequestException:
        return False
