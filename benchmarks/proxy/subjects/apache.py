from __future__ import annotations

import os

import requests

from backoffice.demo.provider import Client
from benchmarks.proxy import parts
from benchmarks.proxy.ground import filled
from benchmarks.proxy.subjects.subject import Subject
from tests.fakes.provider import submit

COOKIE = "mod_auth_openidc_session"
SUB = "demo-1003"


class ApacheOpenIdc(Subject):
    name = "openidc"
    title = "Apache mod_auth_openidc, Redis cache, mod_proxy"

    @classmethod
    def missing(cls) -> str:
        module = f"{parts.APACHE_MODULES}/mod_auth_openidc.so"
        return parts.missing("apache2", module)

    def start(self) -> None:
        client = Client(
            client_id="apache",
            secret="made up for a benchmark",  # noqa: S106
            redirect_uris=(f"http://localhost:{self.port}/oidc/callback",),
        )
        self.ground.provider.state.clients[client.client_id] = client
        config = self.folder / "apache.conf"
        config.write_text(self._config(client))
        apache = str(parts.program("apache2"))
        self.run([apache, "-f", str(config), "-DFOREGROUND"])
        self._sign_in()

    def _config(self, client: Client) -> str:
        return filled(
            parts.PEERS / "apache.conf",
            FOLDER=self.folder,
            PORT=self.port,
            MODULES=parts.APACHE_MODULES,
            # Apache will not work as root; others than root cannot be anyone else.
            USER="User www-data\nGroup www-data" if os.geteuid() == 0 else "",
            ISSUER=self.ground.provider.issuer,
            CLIENT_ID=client.client_id,
            CLIENT_SECRET=client.secret,
            STORE_PORT=self.ground.store.port,
            UPSTREAM=self.ground.upstream,
        )

    def _sign_in(self) -> None:
        with requests.Session() as browser:
            browser.trust_env = False
            page = browser.get(f"http://localhost:{self.port}/sign-in", timeout=10)
            back = submit(browser, page, sub=SUB)
            browser.get(back.headers["Location"], timeout=10)
            value = str(browser.cookies[COOKIE])
        self.cookie = f"{COOKIE}={value}"
        self.dead_cookie = f"{COOKIE}={'0' * len(value)}"
