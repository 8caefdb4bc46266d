"""`make setup` where uv cannot install: pip does, or both say why."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.journeys.site import ROOT

# As uv fails where it does not trust the certificate of a package index.
UV = """#!/bin/sh
if [ "$1" = sync ]; then
    echo "error: Failed to fetch a package" >&2
    echo "  Caused by: invalid peer certificate: UnknownIssuer" >&2
    exit 2
fi
for last; do :; done
echo "{requirement}" > "$last"
"""
FALLBACK = "uv could not install the packages; trying pip instead.\n"


def set_up(folder: Path, requirement: str) -> subprocess.CompletedProcess[str]:
    """Runs `make setup` in a folder of its own; uv exports this one requirement."""
    for name in ("Makefile", "pyproject.toml", "uv.lock"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "bin").mkdir()
    uv = folder / "bin" / "uv"
    uv.write_text(UV.format(requirement=requirement))
    uv.chmod(0o700)
    return subprocess.run(
        [shutil.which("make") or "", "setup", f"PYTHON={sys.executable}"],
        cwd=folder,
        env={"PATH": f"{uv.parent}:{os.environ['PATH']}", "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_the_fallback_to_pip_is_one_plain_line(tmp_path: Path) -> None:
    done = set_up(tmp_path, "# nothing")
    assert done.returncode == 0, done.stderr
    assert done.stdout == FALLBACK
    assert "UnknownIssuer" not in done.stderr


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_what_uv_said_is_told_when_pip_fails_too(tmp_path: Path) -> None:
    done = set_up(tmp_path, "./absent")
    assert done.returncode == 2
    assert "Neither uv nor pip could. uv said:\nerror: Failed" in done.stderr
    assert "UnknownIssuer" in done.stderr
    assert not (tmp_path / ".venv" / "all").exists()
