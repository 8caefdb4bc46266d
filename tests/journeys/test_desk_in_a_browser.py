"""The security desk and the staff's own pages, as people meet them in a browser."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser import new_context
from tests.journeys.site import ADMIN, FINANCE, SUPPORT, Site
from tests.journeys.test_in_a_browser import sign_in

LIVE = "/admin/accounts/livesession/"
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 26_0 like Mac OS X) Version/26.0 Safari/604.1"
)
PAGES = {
    "list": LIVE,
    "filtered": f"{LIVE}?department=x&agent=chrome&idle=1h",
    "nonsense": f"{LIVE}?network=nonsense",
    "everyone": f"{LIVE}end/?scope=everyone",
    "picture": f"{LIVE}picture/",
    "own": "/sessions/",
    "home": "/",
}
TABS_AT_MOST = 80


LOOKS = [
    {"locale": "en-GB", "color_scheme": "light", "width": 1440},
    {"locale": "ko-KR", "color_scheme": "dark", "width": 360},
    {"locale": "en-GB", "color_scheme": "dark", "width": 1440},
    {"locale": "ko-KR", "color_scheme": "light", "width": 360},
]


@pytest.mark.parametrize("look", LOOKS, ids=str)
def test_axe_finds_nothing_and_every_page_fits(
    launched: Chromium, site: Site, look: dict[str, Any]
) -> None:
    size = {"width": look["width"], "height": 900}
    context = new_context(
        launched,
        base_url=site.url,
        locale=look["locale"],
        color_scheme=look["color_scheme"],
        viewport=size,
    )
    page = sign_in(context, ADMIN, LIVE)
    one = page.locator("#result_list tbody th a").first.get_attribute("href")
    pages = {**PAGES, "one": str(one), "end": f"{LIVE}end/?session={str(one)[-25:-1]}"}
    found = {}
    for name, path in pages.items():
        page.goto(path)
        violations = Axe().run(page).response["violations"]
        found[name] = [each["id"] for each in violations]
        width = page.evaluate("document.documentElement.scrollWidth")
        found[name] += ["too wide"] * (width > look["width"])
    context.close()
    assert {name: each for name, each in found.items() if each} == {}


def test_no_page_breaks_the_content_security_policy(admin: BrowserContext) -> None:
    page = sign_in(admin, ADMIN, LIVE)
    said: list[str] = []
    page.on("console", lambda line: said.append(f"{line.type}: {line.text}"))
    page.on("pageerror", lambda error: said.append(str(error)))
    for path in PAGES.values():
        page.goto(path)
    # That the address is answered with 422 the browser calls an error, too.
    assert [line for line in said if "422" not in line] == []


def tab_to(page: Page, selector: str) -> None:
    """Presses Tab until the focus is there, as somebody without a mouse would."""
    for _ in range(TABS_AT_MOST):
        page.keyboard.press("Tab")
        if page.evaluate("s => document.activeElement.matches(s)", selector):
            return
    raise AssertionError(f"Tab does not reach {selector}")


def test_session_is_found_and_ended_by_keyboard_alone(
    admin: BrowserContext, person: BrowserContext
) -> None:
    home = sign_in(person, FINANCE)
    victim = home.locator(".reference code").first.inner_text()
    page = sign_in(admin, ADMIN, LIVE)
    tab_to(page, "#find")
    page.keyboard.type(victim)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/{victim}/")
    tab_to(page, "a.button.end")
    page.keyboard.press("Enter")
    page.wait_for_url("**/end/**")
    tab_to(page, "#end-reason")
    page.keyboard.type("lost key ring")
    tab_to(page, "button.end")
    page.keyboard.press("Enter")
    expect(page.locator(".messagelist")).to_contain_text("1 session ended.")
    home.reload()
    expect(home.locator(".notice")).to_contain_text("A security admin ended your")
    reference = home.locator(".notice code").inner_text()

    page.locator("#find").fill(reference)
    page.locator("#find").press("Enter")
    expect(page.locator(".timeline")).to_contain_text("lost key ring")


def test_pasted_cookie_stands_in_no_address(
    admin: BrowserContext, person: BrowserContext
) -> None:
    sign_in(person, SUPPORT)
    (key,) = [c["value"] for c in person.cookies() if c["name"] == "session_id"]
    page = sign_in(admin, ADMIN, LIVE)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.locator("#find").fill(key)
    page.locator("#find").press("Enter")
    expect(page.locator("h1")).to_have_text("Session")
    assert asked
    assert not [url for url in asked if key in url]
    assert key not in page.content()


def test_new_device_is_told_and_answered(launched: Chromium, site: Site) -> None:
    old = new_context(launched, base_url=site.url, locale="en-GB")
    new = new_context(launched, base_url=site.url, locale="en-GB", user_agent=IPHONE)
    home = sign_in(old, "demo-1002")
    sign_in(new, "demo-1002")
    home.reload()
    notice = home.locator(".notice", has_text="A new device signed in as you")
    expect(notice).to_contain_text("iOS")
    notice.get_by_role("button", name="No, end its sessions").click()
    expect(home.locator(".notice.success")).to_contain_text("1 session ended.")
    expect(notice).to_have_count(0)
    old.close()
    new.close()


def test_long_ending_goes_on_by_itself_and_tells_how_far_it_is(
    admin: BrowserContext, site: Site
) -> None:
    site.manage("make_sessions", "--sessions=3000", "--staff=50", "--yes", "--add")
    page = sign_in(admin, ADMIN, f"{LIVE}?q=people.example")
    number = page.locator(".total").inner_text().split()[0]
    assert int(number) > 1000
    page.locator(".desk-buttons a.end").click()
    page.get_by_label("Reason").fill("stolen cookies of the whole team")
    page.get_by_label(f"Type {number} to confirm").fill(number)
    page.get_by_role("button", name="End these sessions").click()
    told = expect(page.locator(".messagelist"))
    told.to_contain_text(f"{number} sessions ended.", timeout=60_000)
    assert page.url.endswith(f"{LIVE}?q=people.example")
    expect(page.locator(".total")).to_have_text("0 live sessions")
    # Nobody else, and not the one who did it.
    page.goto(LIVE)
    expect(page.locator("#result_list")).to_contain_text("this browser")


def test_one_tick_chooses_all_on_the_page(admin: BrowserContext) -> None:
    page = sign_in(admin, ADMIN, LIVE)
    page.locator("[data-chooses-all]").check()
    boxes = page.locator("#result_list tbody input[type=checkbox]")
    assert all(boxes.nth(n).is_checked() for n in range(boxes.count()))
