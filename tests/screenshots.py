"""Makes the pictures of the docs: `python -m tests.screenshots docs/images`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests import browser
from tests.journeys.site import ADMIN, Site, running_site
from tests.journeys.test_in_a_browser import FLAGS, sign_in

LIVE = "/admin/accounts/livesession/"
AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/156.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Version/26.0 Safari/605.1.15",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 26_0 like Mac OS X) Version/26.0 Safari/604.1",
    "Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0",
)


def people(site: Site) -> None:
    """A few staff members with different browsers."""
    for number, agent in enumerate(AGENTS):
        person = site.browser()
        person.http.headers["User-Agent"] = agent
        person.sign_in(f"demo-100{number + 2}")


def take(page: Page, folder: Path, name: str, path: str) -> None:
    page.goto(path)
    page.screenshot(path=folder / f"{name}.png", full_page=True)


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as state,
        running_site(Path(state)) as site,
        sync_playwright() as playwright,
    ):
        people(site)
        chromium = playwright.chromium.launch(
            executable_path=browser.find(), args=FLAGS
        )
        for language in ("en", "ko"):
            context = chromium.new_context(
                base_url=site.url,
                locale=language,
                viewport={"width": 1280, "height": 640},
            )
            desk = sign_in(context, ADMIN, LIVE)
            take(desk, folder, f"live-sessions-{language}", LIVE)
            take(desk, folder, f"home-{language}", "/")
            desk.goto(LIVE)
            desk.locator("tbody input").nth(1).check()
            desk.locator(".end").click()
            desk.screenshot(path=folder / f"end-{language}.png", full_page=True)
            take(desk, folder, f"sessions-{language}", "/sessions/")
        chromium.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
