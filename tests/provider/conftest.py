from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import Any

import pytest
import redis

from backoffice.demo.children import Child
from tests.journeys.site import Browser, Site, running_site
from tests.ports import reserved_port
from tests.waiting import wait_until

FOLDER = Path(__file__).parent

# They need Node and a package that we did not write, so nobody runs them unasked:
# `make test-provider` asks.
collect_ignore_glob = [] if "PROVIDER_JOURNEYS" in os.environ else ["test_*.py"]


@dataclass
class Provider:
    """The certified provider in a process of its own, and what it says it did."""

    issuer: str
    site_url: str
    log: Path
    client_key: str = ""
    child: Child | None = None

    def start(self) -> None:
        """Starts it anew: no session and no token of before is left."""
        node = which("node")
        if node is None or not (FOLDER / "node_modules").is_dir():
            pytest.fail(
                "needs Node and its packages: make test-provider", pytrace=False
            )
        port = self.issuer.rpartition(":")[2]
        script = str(FOLDER / "provider.mjs")
        command = [node, script, port, self.site_url, str(self.key_file)]
        command += [self.client_key] if self.client_key else []
        self.child = Child("provider", command, log=self.log)
        assert wait_until(lambda: bool(self.events("ready"))), self.log.read_text()

    @property
    def key_file(self) -> Path:
        """Its signing key; a new one is made at the start when there is none."""
        return self.log.with_suffix(".key")

    def stop(self) -> None:
        if self.child is not None:
            self.child.stop()

    def events(self, name: str = "") -> list[dict[str, Any]]:
        """What happened since its start, oldest first."""
        lines = self.log.read_text().splitlines()
        found = [json.loads(line) for line in lines if line.startswith("{")]
        return [event for event in found if not name or event["event"] == name]

    def secrets(self) -> list[str]:
        """Every code and token it has handed out since its start."""
        return [event["value"] for event in self.events() if "value" in event]


@pytest.fixture(scope="module")
def issuer() -> str:
    return f"http://127.0.0.1:{reserved_port()}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, issuer: str) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    with running_site(folder, OIDC_ISSUER=issuer, OIDC_SCOPES="groups") as running:
        yield running


@pytest.fixture(scope="module")
def _provider(site: Site, issuer: str) -> Iterator[Provider]:
    provider = Provider(issuer, site.url, site.folder / "provider.log")
    yield provider
    provider.stop()


@pytest.fixture
def provider(_provider: Provider) -> Provider:
    """Running, whatever the test before did to it."""
    if _provider.child is None or not _provider.child.is_alive():
        _provider.start()
    return _provider


@pytest.fixture
def browser(site: Site, provider: Provider) -> Browser:
    return site.browser()


def database_text(site: Site) -> str:
    """Everything in SQL, as text."""
    connection = sqlite3.connect(site.folder / "db.sqlite3")
    try:
        return "\n".join(connection.iterdump())
    finally:
        connection.close()


def store_bytes(site: Site) -> bytes:
    """Everything in the session store: names, values, members."""
    with redis.Redis.from_url(site.store.url) as client:
        names = list(client.scan_iter())
        sealed = [client.get(n) or b"" for n in names if client.type(n) == b"string"]
        sets = [client.zrange(n, 0, -1) for n in names if client.type(n) == b"zset"]
    return b"\n".join([*names, *sealed, *(member for each in sets for member in each)])
