from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import BrowserContext, sync_playwright

from tests import browser as chromium
from tests.browser import new_context
from tests.journeys.site import Browser, Site, running_site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("site")) as running:
        yield running


@pytest.fixture
def browser(site: Site) -> Browser:
    return site.browser()


@pytest.fixture
def another_browser(site: Site) -> Browser:
    return site.browser()


@pytest.fixture(scope="module")
def launched() -> Iterator[Chromium]:
    executable = chromium.find()
    assert executable, chromium.HOW_TO_GET_ONE
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable, args=chromium.FLAGS
        )
        yield browser
        browser.close()


@pytest.fixture
def person(launched: Chromium, site: Site) -> Iterator[BrowserContext]:
    context = new_context(launched, base_url=site.url, locale="en-GB")
    yield context
    context.close()


@pytest.fixture
def admin(launched: Chromium, site: Site) -> Iterator[BrowserContext]:
    context = new_context(launched, base_url=site.url, locale="en-GB")
    yield context
    context.close()
