"""Finds a Chromium for the journeys: on the path, Playwright's own, or the package.

`python -m tests.browser` gets one where that needs nobody's leave.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, expect, sync_playwright

from tests import apt

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
HOW_TO_GET_ONE = (
    "No Chromium was found, and the browser journeys need one. Any of these helps:\n"
    "  apt-get install chromium\n"
    "  .venv/bin/python -m playwright install --with-deps chromium\n"
    "  put a `chromium` or `google-chrome` on the PATH\n"
)

# What a page must show, it shows in the end, on a busy machine as well.
expect.set_options(timeout=60_000)


def new_context(browser: Browser, **options: Any) -> BrowserContext:
    """A browser of its own for one person, who waits as long as `expect` does."""
    context = browser.new_context(**options)
    context.set_default_timeout(90_000)
    return context


def find() -> str | None:
    """The path of a Chromium; None when there is none."""
    for name in NAMES:
        if found := shutil.which(name):
            return found
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if Path(own).exists() else None


def install() -> None:
    """Tries Playwright's own download, then the package where we are root on Debian."""
    command = [sys.executable, "-m", "playwright", "install", "chromium"]
    if subprocess.run(command, check=False, capture_output=True).returncode == 0:
        return
    apt.install("chromium", recommended=True)


def main() -> int:
    if find() is None:
        install()
    if find() is None:
        sys.stderr.write(HOW_TO_GET_ONE)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
