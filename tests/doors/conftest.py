from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests import nginx
from tests.doors.house import DOORS, Door, House, running_house
from tests.journeys.site import SUPPORT


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if nginx.find() is None:
        skip = pytest.mark.skip(reason=nginx.HOW_TO_GET_IT)
        for item in items:
            if "tests/doors" in item.nodeid:
                item.add_marker(skip)


# Of the whole run: xdist comes to this package again and again, and to start all these
# servers takes seconds.
@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with running_house(tmp_path_factory.mktemp("doors")) as running:
        yield running


@pytest.fixture(params=DOORS)
def door(house: House, request: Any) -> Door:
    """Each test that asks for a door runs once at each."""
    return house.door(request.param)


@pytest.fixture
def key(house: House) -> str:
    """The session key of somebody in `support` who has just signed in."""
    return fresh_key(house)


@pytest.fixture(scope="module")
def lasting_key(house: House) -> str:
    """The same, for tests that leave the session alone."""
    return fresh_key(house)


def fresh_key(house: House, person: str = SUPPORT) -> str:
    browser = house.site.browser()
    browser.sign_in(person)
    assert browser.session_key
    return browser.session_key
