"""What a real browser makes of an upstream's page, at each door (ASVS 3.2.1)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from tests import browser
from tests.doors.house import Door
from tests.fakes.upstream import answer, closing

PAGE = b"""<!doctype html><title>quiet</title>
<body onload="document.title = 'ran'"><h1>Hello</h1>
<script>document.title = 'ran'; document.cookie = 'planted=1'</script>
<script src="script"></script><iframe src="inside"></iframe>
<form action="/sign-out/" method="post"></form><script>document.forms[0].submit()
navigator.serviceWorker.register('worker')</script>"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=browser.find(), args=browser.FLAGS
        )
        yield launched
        launched.close()


@pytest.fixture
def context(
    chromium: Browser, door: Door, lasting_key: str
) -> Iterator[BrowserContext]:
    context = browser.new_context(chromium, base_url=door.url)
    context.add_cookies([{"name": "session_id", "value": lasting_key, "url": door.url}])
    yield context
    context.close()


def test_an_upstream_s_page_runs_no_script(
    context: BrowserContext, door: Door, lasting_key: str
) -> None:
    html = closing(answer(fields=[("Content-Type", "text/html")], body=PAGE))
    page = context.new_page()
    page.goto(f"/api/proxy/echo/{door.act(html)}", wait_until="networkidle")
    assert page.locator("h1").inner_text() == "Hello"
    assert page.title() == "quiet"
    assert {cookie["name"] for cookie in context.cookies()} == {"session_id"}
    assert door.ask("/api/proxy/echo/", key=lasting_key).status == 200


def test_a_script_tag_gets_nothing(context: BrowserContext, door: Door) -> None:
    """The site's policy allows scripts of its own origin, and an upstream has that."""
    code = b"window.ran = true"
    script = closing(answer(fields=[("Content-Type", "text/javascript")], body=code))
    target = f"/api/proxy/echo/{door.act(script)}"
    page = context.new_page()
    page.goto("/")
    with page.expect_response(f"**{target}") as found:
        page.evaluate(
            "src => { const tag = document.createElement('script');"
            " tag.src = src; document.head.append(tag) }",
            target,
        )
    assert found.value.status == 403
    assert page.evaluate("window.ran") is None
