"""The story once more in a real browser: what a person sees and clicks."""

from __future__ import annotations

from playwright.sync_api import BrowserContext, Page, expect

from tests.journeys.site import ADMIN, CONTRACTOR, FINANCE, SUPPORT, Site


def sign_in(context: BrowserContext, sub: str, path: str = "/") -> Page:
    """From our page to the provider's cards and back; fails on any CSP violation."""
    page = context.new_page()
    complaints: list[str] = []
    page.on(
        "console",
        lambda said: complaints.append(said.text) if said.type == "error" else None,
    )
    page.goto(path)
    page.locator("main form button").first.click()
    page.locator(f'button[name="sub"][value="{sub}"]').click()
    page.wait_for_load_state()
    assert not [said for said in complaints if "Content Security" in said]
    return page


def test_killed_browser_is_out_at_its_next_step(
    person: BrowserContext, admin: BrowserContext, site: Site
) -> None:
    home = sign_in(person, SUPPORT)
    expect(home.locator("main")).to_contain_text("박지훈")

    desk = sign_in(admin, ADMIN, "/admin/accounts/livesession/")
    row = desk.locator("#result_list tbody tr", has_text="jihoon.park").first
    row.locator('input[type="checkbox"]').check()
    desk.get_by_role("button", name="End the chosen sessions").click()
    desk.get_by_label("Reason").fill("laptop reported stolen")
    desk.get_by_role("button", name="End these sessions").click()
    expect(desk.locator(".messagelist")).to_contain_text("1 session ended.")

    assert person.request.get("/api/proxy/echo/").status == 401
    home.reload()
    assert "/sign-in/" in home.url


def test_not_staff_reads_why(person: BrowserContext) -> None:
    page = sign_in(person, CONTRACTOR)
    expect(page.locator("h1")).to_be_visible()
    assert not [c for c in person.cookies() if c["name"] == "session_id"] or (
        person.request.get("/api/proxy/echo/").status == 401
    )


def test_signing_out_and_going_back_shows_nothing(person: BrowserContext) -> None:
    home = sign_in(person, SUPPORT)
    home.get_by_role("button", name="Sign out").click()
    home.wait_for_load_state()
    assert "/signed-out/" in home.url
    home.goto("/")
    assert "/sign-in/" in home.url
    home.go_back()
    expect(home.locator("body")).not_to_contain_text("박지훈")


def test_language_can_be_switched(person: BrowserContext) -> None:
    page = person.new_page()
    page.goto("/sign-in/")
    page.locator('button[name="language"][value="ko"]').click()
    expect(page.locator("html")).to_have_attribute("lang", "ko")


def test_pages_fit_a_narrow_window(person: BrowserContext) -> None:
    page = sign_in(person, SUPPORT)
    page.set_viewport_size({"width": 360, "height": 740})
    for path in ("/", "/sessions/"):
        page.goto(path)
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 360


def test_confirming_again_comes_back_to_where_one_was(person: BrowserContext) -> None:
    page = sign_in(person, SUPPORT)
    before = {each["value"] for each in person.cookies() if "session" in each["name"]}
    page.goto("/sso/step-up/?next=/sessions/")
    page.locator("main form button").click()
    expect(page.locator("button.hinted")).to_be_focused()
    page.locator(f'button[name="sub"][value="{SUPPORT}"]').click()
    expect(page).to_have_url(f"{page.url.split('/sessions')[0]}/sessions/")
    after = {each["value"] for each in person.cookies() if "session" in each["name"]}
    assert before.isdisjoint(after)
    page.go_back()
    page.goto("/")
    expect(page.locator("h1")).to_contain_text("박지훈")


def test_own_session_elsewhere_is_seen_and_ended(
    person: BrowserContext, admin: BrowserContext
) -> None:
    """SES-14: the same person, in two browsers."""
    here, there = sign_in(person, FINANCE), sign_in(admin, FINANCE)
    here.goto("/sessions/")
    ends = here.get_by_role("button", name="End session")
    expect(ends).to_have_count(1)
    ends.click()
    expect(ends).to_have_count(0)
    assert admin.request.get("/api/proxy/echo/").status == 401
    assert person.request.get("/api/proxy/echo/").status == 200
    there.reload()
    assert "/sign-in/" in there.url
