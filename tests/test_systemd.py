"""deploy/systemd: the unit's own commands make a site of a fresh checkout."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from backoffice.demo.children import Child
from backoffice.demo.store import EmbeddedStore
from tests.backoffice.test_checks import production
from tests.journeys.site import ROOT
from tests.ports import reserved_port
from tests.waiting import wait_until

UNIT = ROOT / "deploy" / "systemd" / "backoffice.service"
# What a checkout has of it that runs; nothing that was made from it since.
CODE = ("accounts", "backoffice", "locale", "templates", "manage.py")
HOME, PYTHON, RUNTIME = "/srv/backoffice", "/srv/backoffice/.venv/bin/python", "/run/"


@dataclass(frozen=True)
class Unit:
    """Name and value of each line, in order."""

    lines: list[tuple[str, str]]

    @classmethod
    def read(cls) -> Unit:
        text = UNIT.read_text(encoding="utf-8")
        found = (line.partition("=") for line in text.splitlines() if "=" in line)
        return cls([(a, b) for a, _, b in found if not a.startswith("#")])

    def all(self, name: str) -> list[str]:
        return [value for known, value in self.lines if known == name]

    def one(self, name: str) -> str:
        (value,) = self.all(name)
        return value


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The code as it was cloned, in a folder of its own."""
    home = tmp_path / "srv"
    home.mkdir()
    leave = shutil.ignore_patterns("__pycache__")
    for name in CODE:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, home / name, ignore=leave)
        else:
            shutil.copy(ROOT / name, home / name)
    return home


def files_of(folder: Path) -> set[Path]:
    return {each for each in folder.rglob("*") if each.is_file()}


def test_its_own_commands_make_a_site_that_shows_a_page(
    checkout: Path, tmp_path: Path, store_server: EmbeddedStore
) -> None:
    unit, port = Unit.read(), reserved_port()
    assert unit.one("WorkingDirectory") == HOME
    run = tmp_path / "run" / unit.one("RuntimeDirectory")
    run.mkdir(parents=True)
    environment = {
        **dict(line.split("=", 1) for line in unit.all("Environment")),
        **production(store_server, tmp_path),
        "PORT": str(port),
        "PATH": os.environ["PATH"],
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    environment = {
        name: value.replace(RUNTIME, f"{tmp_path}/run/")
        for name, value in environment.items()
    }
    before = files_of(checkout)
    for line in unit.all("ExecStartPre"):
        done = subprocess.run(
            command_of(line),
            cwd=checkout,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    serve = command_of(unit.one("ExecStart"))
    log = tmp_path / "site.log"
    site = Child("site", serve, log=log, environment=environment, folder=checkout)
    try:
        assert wait_until(lambda: not site.is_alive() or page(port, "/livez") == 200)
        assert site.is_alive(), site.last_lines()
        assert page(port, "/readyz") == 200
        assert page(port, "/sign-in/") == 200, site.last_lines()
    finally:
        site.stop(10)
    # ProtectSystem=strict lets it write to RuntimeDirectory alone.
    assert files_of(checkout) == before


def command_of(line: str) -> list[str]:
    program, *arguments = shlex.split(line)
    assert program == PYTHON
    return [sys.executable, *arguments]


def page(port: int, path: str) -> int:
    """The status of a page, asked for as nginx does."""
    headers = {"Host": "backoffice.example.com", "X-Forwarded-Proto": "https"}
    url = f"http://127.0.0.1:{port}{path}"
    try:
        return requests.get(url, headers=headers, timeout=60).status_code
    except requests.ConnectionError:
        return 0


def test_the_timer_s_commands_exist() -> None:
    text = UNIT.with_name("backoffice-purge.service").read_text(encoding="utf-8")
    commands = [line for line in text.splitlines() if line.startswith("ExecStart=")]
    assert commands
    for line in commands:
        name = shlex.split(line)[2]
        found = ROOT / "accounts" / "management" / "commands" / f"{name}.py"
        assert found.is_file(), line
