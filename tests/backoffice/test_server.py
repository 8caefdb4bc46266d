"""What the web server reads from the environment, it reads as the settings do."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from backoffice.demo.children import Child
from backoffice.demo.ports import port_is_free
from backoffice.demo.store import EmbeddedStore
from tests.backoffice.test_checks import production
from tests.journeys.site import ROOT
from tests.ports import reserved_port
from tests.waiting import wait_until

CONFIG = ROOT / "backoffice" / "server.py"
SERVE = [sys.executable, "-m", "gunicorn", "--config", "backoffice/server.py"]
NAMES = ("BIND_ADDRESS", "PORT", "WEB_WORKERS", "WEB_THREADS", "TRUSTED_PROXIES")


def read_config(monkeypatch: pytest.MonkeyPatch, **values: str) -> dict[str, Any]:
    """What gunicorn takes from the file in this environment."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    before = sys.modules["backoffice.env"]
    try:
        return runpy.run_path(str(CONFIG))
    finally:
        sys.modules["backoffice.env"] = before


@contextmanager
def serving(folder: Path, environment: dict[str, str]) -> Iterator[Child]:
    child = Child(
        "site", SERVE, log=folder / "log", environment=environment, folder=ROOT
    )
    try:
        yield child
    finally:
        child.stop(10)


def test_without_any_value_it_listens_on_this_machine_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = read_config(monkeypatch)
    assert (found["bind"], found["workers"], found["threads"]) == (
        "127.0.0.1:8000",
        2,
        16,
    )
    assert found["forwarded_allow_ips"] == "127.0.0.1,::1"


def test_an_ipv6_address_is_bound_in_brackets(monkeypatch: pytest.MonkeyPatch) -> None:
    found = read_config(monkeypatch, BIND_ADDRESS="::1", PORT="80")
    assert found["bind"] == "[::1]:80"


def test_networks_are_trusted_as_they_are_listed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = read_config(monkeypatch, TRUSTED_PROXIES="10.0.0.0/8, ::1")
    assert found["forwarded_allow_ips"] == "10.0.0.0/8,::1"


@pytest.mark.skipif(not Path("/proc").exists(), reason="needs Linux's /proc")
def test_each_value_may_come_from_a_file(
    store_server: EmbeddedStore, tmp_path: Path
) -> None:
    port = reserved_port()
    environment = {**production(store_server, tmp_path), "PATH": os.environ["PATH"]}
    values = {"PORT": port, "WEB_WORKERS": 3, "BIND_ADDRESS": "127.0.0.1"}
    for name, value in values.items():
        (tmp_path / name).write_text(f"{value}\n", encoding="utf-8")
        environment[f"{name}_FILE"] = str(tmp_path / name)
    with serving(tmp_path, environment) as site:
        children = Path(f"/proc/{site.pid}/task/{site.pid}/children")

        def is_there() -> bool:
            assert site.is_alive(), site.last_lines()
            return not port_is_free(port) and len(children.read_text().split()) == 3

        assert wait_until(is_there)


def test_what_is_wrong_is_told_at_once_and_without_a_traceback(
    store_server: EmbeddedStore, tmp_path: Path
) -> None:
    environment = production(store_server, tmp_path) | {
        "PATH": os.environ["PATH"],
        "BIND_ADDRESS": "a machine",
        "PORT": "eighty",
        "WEB_WORKERS": "0",
        "WEB_THREADS": "many",
        "TRUSTED_PROXIES": "proxy.example",
    }
    del environment["STAFF_GROUPS"]
    done = subprocess.run(
        SERVE, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    for line in (
        "BIND_ADDRESS must be an address or a host name, not 'a machine'",
        "PORT must be a whole number, not 'eighty'",
        "WEB_WORKERS must be between 1 and 1000000, not 0",
        "WEB_THREADS must be a whole number, not 'many'",
        "TRUSTED_PROXIES 'proxy.example' does not appear to be",
        "STAFF_GROUPS is required",
    ):
        assert line in done.stderr, done.stderr
