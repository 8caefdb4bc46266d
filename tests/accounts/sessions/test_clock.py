from __future__ import annotations

import logging
import time

import pytest
import redis

from accounts.sessions import clock, fence
from accounts.sessions.checks import check_store
from accounts.sessions.clock import Reading
from accounts.sessions.connections import client
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


def reading(ahead: float, takes: float = 0.0) -> Reading:
    """What a store says whose clock is ahead of the host's by so much, in seconds."""
    now = time.monotonic()
    return Reading(time.time() + ahead, now - takes / 2, now + takes / 2)


@pytest.mark.store_clock
@pytest.mark.parametrize("ahead", [-3600.0, -1.5, 0.5, 20.0, 3600.0])
def test_clock_of_the_store_is_followed(ahead: float) -> None:
    clock.follow(reading(ahead))
    assert clock.now() - time.time() == pytest.approx(ahead, abs=0.2)
    assert clock.skew() == pytest.approx(-ahead, abs=0.2)


@pytest.mark.store_clock
def test_reading_that_took_long_moves_nothing_that_it_agrees_with() -> None:
    clock.follow(reading(0.0))
    before = clock.skew()
    clock.follow(reading(0.3, takes=2.0))
    assert clock.skew() == pytest.approx(before, abs=0.01)


@pytest.mark.store_clock
def test_store_whose_clock_was_set_back_is_followed_no_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nothing lives longer for it."""
    clock.follow(reading(0.0))
    for _ in range(2):
        clock.follow(reading(-3600.0))
    assert clock.now() - time.time() == pytest.approx(0.0, abs=0.2)
    assert [r.getMessage() for r in caplog.records if "set_back" in r.msg] == [
        "store_clock_set_back seconds=3600.0"
    ]


@pytest.mark.store_clock
def test_small_step_back_lets_time_stand_still() -> None:
    clock.follow(reading(0.0))
    before = clock.now()
    clock.follow(reading(-0.9))
    assert clock.now() == pytest.approx(before, abs=0.2)
    assert clock.now() >= before


@pytest.mark.store_clock
def test_host_that_is_far_off_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for ahead in (30.0, 30.1, 30.2):
        clock.follow(reading(ahead))
    assert [r.getMessage() for r in caplog.records] == ["clock_skew seconds=-30.0"]


@pytest.mark.store_clock
@pytest.mark.usefixtures("store")
def test_lease_reads_the_clock_of_the_store(store: redis.Redis) -> None:
    clock.reset()
    assert clock.skew() is None
    fence.confirm(client())
    assert clock.skew() == pytest.approx(0.0, abs=1.0)


@pytest.mark.store_clock
@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(("ahead", "found"), [(0.0, False), (30.0, True)])
def test_check_tells_of_a_host_that_is_far_off(
    monkeypatch: pytest.MonkeyPatch, ahead: float, found: bool
) -> None:
    told = reading(ahead)
    follow = clock.follow
    monkeypatch.setattr(clock, "follow", lambda _: follow(told))
    messages = {message.id: message.msg for message in check_store()}
    assert ("accounts.W002" in messages) is found
    if found:
        assert "differ by 30 seconds" in messages["accounts.W002"]
