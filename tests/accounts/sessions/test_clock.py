from __future__ import annotations

import pytest

from accounts.sessions import clock
from tests.conftest import Travel


@pytest.mark.parametrize("seconds", [0.5, 3600])
def test_clock_that_is_set_back_never_goes_back(travel: Travel, seconds: float) -> None:
    """A little, as NTP does, or a lot: a kill comes after what began before it."""
    before = clock.now()
    travel.shift(-seconds)
    assert clock.now() >= before


def test_clock_that_was_ahead_is_followed(travel: Travel) -> None:
    travel.shift(3600)
    ahead = clock.now()
    travel.shift(60)
    assert clock.now() >= ahead + 60
