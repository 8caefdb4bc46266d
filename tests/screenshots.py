"""Makes the pictures of the docs: `python -m tests.screenshots docs/images`."""

from __future__ import annotations

import math
import sqlite3
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from tests import browser
from tests.journeys.site import ADMIN, SUPPORT, Site, running_site
from tests.journeys.test_in_a_browser import sign_in

LIVE = "/admin/accounts/livesession/"
SIZE = {"width": 1280, "height": 800}
LAPTOP = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/156.0.0.0 Safari/537.36"
)
PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 26_0 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/26.0 Mobile/15E148 Safari/604.1"
)


def fill(site: Site) -> None:
    """Made-up people, and a made-up day in the curve of their number."""
    site.manage(
        "make_sessions", "--sessions", "900", "--staff", "150", "--yes", "--add"
    )
    now = datetime.now(UTC)
    slots = [now - timedelta(minutes=10 * n) for n in range(144, 0, -1)]
    rows = [
        (f"{slot:%Y-%m-%d %H:%M:00}", int(900 - 700 * math.cos(place / 144 * 1.5) ** 2))
        for place, slot in enumerate(slots)
    ]
    with sqlite3.connect(site.folder / "db.sqlite3") as connection:
        connection.executemany(
            "INSERT INTO accounts_livesample (at, live) VALUES (?, ?)", rows
        )
    connection.close()


def take(
    page: Page, folder: Path, name: str, path: str = "", full: bool = True
) -> None:
    """One picture, of the whole page or of what a window of SIZE shows."""
    if path:
        page.goto(path)
    page.screenshot(path=folder / f"{name}.png", full_page=full)


def desk(chromium: Browser, site: Site, folder: Path, language: str) -> None:
    """What a security admin sees."""
    context = chromium.new_context(
        base_url=site.url, locale=language, viewport=SIZE, user_agent=LAPTOP
    )
    page = sign_in(context, ADMIN, LIVE)
    take(page, folder, f"picture-{language}", f"{LIVE}picture/")
    page.goto(f"{LIVE}?agent=chrome")
    page.locator("details.filters summary").click()
    page.set_viewport_size({**SIZE, "height": 1200})
    take(page, folder, f"live-sessions-{language}", full=False)
    page.locator("a.button.end").click()
    take(page, folder, f"end-{language}")
    context.close()


def staff(chromium: Browser, site: Site, folder: Path, language: str) -> str:
    """What a staff member sees of their own sessions, and after one was ended."""
    options = {"base_url": site.url, "locale": language, "viewport": SIZE}
    laptop = chromium.new_context(**options, user_agent=LAPTOP)
    phone = chromium.new_context(**options, user_agent=PHONE)
    page, other = sign_in(laptop, SUPPORT), sign_in(phone, SUPPORT)
    take(page, folder, f"home-{language}", "/")
    take(page, folder, f"sessions-{language}", "/sessions/")
    session_id = other.locator(".reference code").first.inner_text()
    # The phone goes on from another network and with another browser.
    elsewhere = chromium.new_context(**options)
    elsewhere.add_cookies(phone.cookies())
    elsewhere.new_page().goto("/")
    end(chromium, site, folder, language, session_id)
    take(other, folder, f"ended-{language}", "/")
    for context in (laptop, phone, elsewhere):
        context.close()
    return session_id


def end(
    chromium: Browser, site: Site, folder: Path, language: str, session_id: str
) -> None:
    """One session's own page, and its end."""
    context = chromium.new_context(
        base_url=site.url, locale=language, viewport=SIZE, user_agent=LAPTOP
    )
    page = sign_in(context, ADMIN, LIVE)
    take(page, folder, f"session-{language}", f"{LIVE}{session_id}/")
    page.goto(f"{LIVE}end/?session={session_id}")
    page.locator("#end-reason").fill("Phone reported lost")
    page.locator("button.end").click()
    context.close()


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as state,
        running_site(Path(state), PLACES="127.0.0.0/8=Seoul office") as site,
        sync_playwright() as playwright,
    ):
        fill(site)
        chromium = playwright.chromium.launch(
            executable_path=browser.find(), args=browser.FLAGS
        )
        for language in ("en", "ko"):
            desk(chromium, site, folder, language)
            staff(chromium, site, folder, language)
        chromium.close()


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images"))
