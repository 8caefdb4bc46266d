"""Backoffice itself as it runs in production, with somebody signed in."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from backoffice.demo import site as demo_site
from backoffice.demo.children import Child, wait_until
from backoffice.demo.ports import lasting_port
from backoffice.demo.provider import Client, Provider
from backoffice.demo.runner import REPOSITORY, answers
from tests.journeys.site import COOKIE, Browser

START_SECONDS = 60
SUB = "demo-1003"
CLIENT_ID = "backoffice"
ROUTES = """\
[[route]]
name = "bench"
upstream = "{UPSTREAM}"
keepalive = "shared"

[[route]]
name = "bench-person"
upstream = "{UPSTREAM}"

[[route]]
name = "bench-off"
upstream = "{UPSTREAM}"
keepalive = "off"

[[route]]
name = "sink"
upstream = "{SINK}"
methods = ["GET", "HEAD", "POST"]
max_body = 200_000_000
"""


class Site:
    """The shipped server configuration, two workers, SQLite, no debug."""

    def __init__(self, folder: Path, places: Mapping[str, str]) -> None:
        self.folder = folder
        self.port = lasting_port()
        self.url = f"http://localhost:{self.port}"
        self.routes = folder / "routes.toml"
        self.routes.write_text(ROUTES.format_map(places), encoding="utf-8")
        self.client = Client(
            client_id=CLIENT_ID,
            secret=secrets.token_urlsafe(32),
            redirect_uris=(f"{self.url}/sso/complete/oidc/",),
            post_logout_redirect_uris=(f"{self.url}/signed-out/",),
        )
        self.environment = self._environment(places)
        self.cookie = self.dead_cookie = ""
        self.child: Child | None = None

    @property
    def server(self) -> Child:
        """The running web server. Raises RuntimeError before the start."""
        if self.child is None:
            raise RuntimeError("the site has not been started")
        return self.child

    def start(self, provider: Provider) -> None:
        """Migrate, collect, serve, and sign somebody in."""
        provider.state.clients[CLIENT_ID] = self.client
        self.manage("migrate", "--noinput", "-v0")
        self.manage("collectstatic", "--noinput", "-v0")
        self.child = Child(
            "site",
            [sys.executable, "-m", "gunicorn", "-c", "backoffice/server.py"],
            log=self.folder / "log",
            environment=self.environment,
            folder=REPOSITORY,
        )
        wait_until(lambda: answers(self.port, "/livez"), START_SECONDS)
        self.cookie = f"{COOKIE}={self._sign_in().session_key}"
        self.dead_cookie = f"{COOKIE}={self._ended_session()}"

    def stop(self) -> None:
        if self.child is not None:
            self.child.stop(10)

    def manage(self, *arguments: str) -> str:
        """What a management command prints. Raises CalledProcessError."""
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=REPOSITORY,
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    def cookie_of(self, sub: str) -> str:
        """The Cookie field of a new session of this person."""
        return f"{COOKIE}={self._sign_in(sub).session_key}"

    def _sign_in(self, sub: str = SUB) -> Browser:
        browser = Browser(self.url)
        browser.sign_in(sub)
        if browser.session_key is None:
            raise RuntimeError(f"nobody was signed in:\n{self.server.last_lines()}")
        return browser

    def _ended_session(self) -> str:
        browser = self._sign_in()
        key = str(browser.session_key)
        browser.submit(browser.get("/"), "/sign-out/")
        return key

    def _environment(self, places: Mapping[str, str]) -> dict[str, str]:
        return {
            **demo_site.inherited(os.environ),
            "DEBUG": "false",
            "SECRET_KEY": secrets.token_urlsafe(48),
            "SITE_URL": self.url,
            "ALLOWED_HOSTS": "localhost,127.0.0.1",
            "PORT": str(self.port),
            "DATABASE_URL": f"sqlite:///{self.folder / 'db.sqlite3'}",
            "REDIS_URL": places["REDIS_URL"],
            "OIDC_ISSUER": places["OIDC_ISSUER"],
            "OIDC_CLIENT_ID": CLIENT_ID,
            "OIDC_CLIENT_SECRET": self.client.secret,
            "STAFF_GROUPS": "staff",
            "ADMIN_GROUPS": "security-admins",
            # The doors in nginx ask from here.
            "TRUSTED_PROXIES": "127.0.0.1",
            "ROUTES_FILE": str(self.routes),
        }
