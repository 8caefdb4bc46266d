"""What `make test` installs by itself: it waits for locks and says what went wrong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests import apt

# Fails as many times as `failures` has lines, each time with the first of them.
FAKE = """#!/bin/sh
echo "$*" >> {folder}/asked
if [ -s {folder}/failures ]; then
    head -n 1 {folder}/failures >&2
    sed -i 1d {folder}/failures
    exit 100
fi
"""
LOCKED = "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 1\n"


@pytest.fixture
def failures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An apt-get that fails with what is written into the file, line by line."""
    program = tmp_path / "apt-get"
    program.write_text(FAKE.format(folder=tmp_path))
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(apt, "RETRY_SECONDS", 0)
    return tmp_path / "failures"


def asked(failures: Path) -> list[str]:
    lines = failures.with_name("asked").read_text().splitlines()
    return [line.partition(f"Timeout={apt.LOCK_SECONDS} ")[2] for line in lines]


def test_the_lock_is_waited_for(failures: Path) -> None:
    failures.write_text(LOCKED * 3)
    assert apt.install("chromium")
    install = "install -y --no-install-recommends chromium"
    assert asked(failures) == ["update"] * 4 + [install]


def test_a_failure_is_said_with_its_exit_status(
    failures: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    failures.write_text("E: no network\nE: Unable to locate package chromium\n")
    assert not apt.install("chromium", recommended=True)
    said = capfd.readouterr().err
    assert "install -y chromium` failed with exit status 100:\nE: Unable to" in said
    assert asked(failures) == ["update", "install -y chromium"]


def test_the_lock_is_not_waited_for_without_end(
    failures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apt, "LOCK_SECONDS", -1)
    failures.write_text(LOCKED * 3)
    assert apt.install("chromium") is False


def test_who_is_not_root_installs_nothing(
    failures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert apt.install("chromium") is False
    assert not failures.with_name("asked").exists()
