"""Questions to the store travel together in nginx; their answers are never mixed up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from tests.doors.conftest import fresh_key
from tests.doors.house import Answer, Door, House
from tests.doors.server import running_nginx
from tests.fakes.store import (
    Fault,
    Proxy,
    closing_after,
    hanging,
    hanging_after,
    in_bytes,
    passing,
    resetting,
    shifted,
)
from tests.journeys.site import FINANCE, SUPPORT, Site
from tests.waiting import wait_until

TARGET = "/api/proxy/echo/"
AT_ONCE, WORKERS = 32, 2
# Keys of proper form that nobody has.
DEAD = tuple(letter * 32 for letter in "abcd")


@pytest.fixture(scope="module")
def line(house: House) -> Iterator[Proxy]:
    """What lies between this door and the store."""
    with Proxy(house.site.store.url) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def far(
    house: House, line: Proxy, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Door]:
    """A door at the end of that line; the site has one of its own."""
    site = with_changes(house.site, REDIS_URL=line.url)
    with running_nginx(site, tmp_path_factory.mktemp("far"), "script") as address:
        yield Door(house, "script", address)


@pytest.fixture(scope="module")
def hasty(
    house: House, line: Proxy, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Door]:
    """The same, waiting no longer than in production."""
    site = with_changes(house.site, REDIS_URL=line.url, TEST_TIMEOUTS="production")
    folder = tmp_path_factory.mktemp("hasty")
    with running_nginx(site, folder, "script", is_hasty=True) as address:
        yield Door(house, "script", address)


def with_changes(site: Site, **changes: str) -> Site:
    return replace(site, environment=site.environment | changes)


@pytest.fixture
def keys(house: House, line: Proxy, far: Door) -> Iterator[list[str]]:
    """Two live sessions, whose door judges."""
    found = [fresh_key(house, SUPPORT), fresh_key(house, FINANCE)]
    assert wait_until(lambda: far.ask(TARGET, key=found[0]).status == 200)
    yield found
    line.heals()


def all_at_once(far: Door, keys: list[str]) -> list[Answer]:
    """One call for each, named by its place."""
    with ThreadPoolExecutor(len(keys)) as pool:
        numbered = enumerate(keys)
        return list(
            pool.map(lambda each: far.ask(f"{TARGET}{each[0]}", key=each[1]), numbered)
        )


def test_each_call_gets_the_answer_to_its_own_question(
    far: Door, line: Proxy, keys: list[str]
) -> None:
    line.delay = 0.02
    each_is_judged_by_itself(far, keys)


def each_is_judged_by_itself(far: Door, keys: list[str]) -> None:
    """Many calls at once of two people and of nobody: each gets what is its own."""
    seen = far.seen
    asked = [*keys, *DEAD] * 8
    answers = all_at_once(far, asked)
    assert [each.status for each in answers] == [
        200 if key in keys else 401 for key in asked
    ]
    calls = far.house.upstream.requests[seen:]
    who = {int(call.target.split(b"/")[-1]): call.get("X-Staff-Sub") for call in calls}
    assert len(who) == len(calls) == asked.count(keys[0]) * 2
    assert {who[at] for at, key in enumerate(asked) if key == keys[0]} == {SUPPORT}
    assert {who[at] for at, key in enumerate(asked) if key == keys[1]} == {FINANCE}


def test_a_worker_needs_one_connection_however_many_ask(
    far: Door, line: Proxy, keys: list[str]
) -> None:
    line.delay = 0.02
    before = line.connections
    all_at_once(far, keys * AT_ONCE)
    assert line.connections <= before + WORKERS


def test_every_call_is_asked_about_anew(
    far: Door, line: Proxy, keys: list[str]
) -> None:
    line.heard.clear()
    all_at_once(far, [keys[0]] * AT_ONCE)
    assert line.heard.count(b"PEXPIRETIME") == AT_ONCE


def test_answers_that_come_byte_by_byte_are_understood(
    far: Door, line: Proxy, keys: list[str]
) -> None:
    line.breaks(in_bytes)
    answers = all_at_once(far, [*keys, *DEAD])
    assert [each.status for each in answers] == [200, 200, 401, 401, 401, 401]


FAULTS: dict[str, Callable[[], Fault]] = {
    "shifted": lambda: shifted,
    "hanging": lambda: hanging,
    "an error": lambda: b"-ERR no\r\n",
    "a number for all": lambda: b":12\r\n",
    "a length that is none": lambda: b"$x\r\n",
    "a length without end": lambda: b"$1e9\r\n",
    "a list": lambda: b"*0\r\n",
    "nonsense": lambda: b"nonsense\r\n",
    "cut short": lambda: passing(5, closing_after(b"$3\r\nab")),
    "stuck": lambda: passing(5, hanging_after(b"$3\r\n")),
    "reset": lambda: passing(4, resetting),
    "one too many": lambda: passing(3, lambda line: line.ask() + line.ask()),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_round_that_goes_wrong_lets_nobody_in_and_signs_nobody_out(
    hasty: Door, line: Proxy, keys: list[str], fault: str
) -> None:
    assert wait_until(lambda: hasty.ask(TARGET, key=keys[0]).status == 200)
    seen = hasty.seen
    line.breaks(FAULTS[fault]())
    answers = all_at_once(hasty, keys * 4)
    passed = [each for each in answers if each.status == 200]
    assert {each.status for each in answers} <= {200, 503}
    assert hasty.seen == seen + len(passed)
    line.heals()
    assert wait_until(lambda: hasty.ask(TARGET, key=keys[0]).status == 200)
