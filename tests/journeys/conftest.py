from __future__ import annotations

from collections.abc import Iterator

import pytest

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
