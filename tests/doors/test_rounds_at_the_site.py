"""Calls are put before the site together; their verdicts are never mixed up."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from tests.doors.conftest import fresh_key
from tests.doors.house import Answer, Door, House
from tests.doors.server import running_nginx
from tests.doors.test_kills import end_person, name_of
from tests.doors.test_outages import is_an_outage
from tests.doors.test_rounds import (
    AT_ONCE,
    DEAD,
    TARGET,
    WORKERS,
    all_at_once,
    each_is_judged_by_itself,
)
from tests.fakes.site import SiteProxy
from tests.fakes.store import (
    Fault,
    Line,
    closing_after,
    hanging,
    hanging_after,
    in_bytes,
    passing,
    resetting,
    shifted,
)
from tests.journeys.site import FINANCE, SUPPORT
from tests.waiting import wait_until

CHECKS = b"/gate/checks"


@pytest.fixture(scope="module")
def line(house: House) -> Iterator[SiteProxy]:
    """What lies between this door and the site."""
    with SiteProxy(house.site.url) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def far(
    house: House, line: SiteProxy, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Door]:
    """A door at the end of that line."""
    site = replace(house.site, url=f"http://localhost:{line.port}")
    with running_nginx(site, tmp_path_factory.mktemp("far"), "check") as address:
        yield Door(house, "check", address)


@pytest.fixture(scope="module")
def hasty(
    house: House, line: SiteProxy, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Door]:
    """The same, waiting no longer than in production."""
    site = replace(house.site, url=f"http://localhost:{line.port}")
    folder = tmp_path_factory.mktemp("hasty")
    with running_nginx(site, folder, "check", is_hasty=True) as address:
        yield Door(house, "check", address)


@pytest.fixture
def keys(house: House, line: SiteProxy, far: Door) -> Iterator[list[str]]:
    """Two live sessions, whose door judges."""
    found = [fresh_key(house, SUPPORT), fresh_key(house, FINANCE)]
    assert wait_until(lambda: far.ask(TARGET, key=found[0]).status == 200)
    line.heard.clear()
    yield found
    line.heals()


def test_each_call_gets_the_verdict_about_itself(
    far: Door, line: SiteProxy, keys: list[str]
) -> None:
    line.delay = 0.02
    each_is_judged_by_itself(far, keys)


def test_calls_that_wait_are_asked_about_together(
    far: Door, line: SiteProxy, keys: list[str]
) -> None:
    # Long enough for all of them to come while the first ones wait.
    line.delay = 1.0
    all_at_once(far, keys * AT_ONCE)
    # Of each worker one at once, and then few for all the rest.
    assert WORKERS <= line.heard.count(CHECKS) <= AT_ONCE // 2


def test_long_heads_make_no_round_that_the_site_does_not_take(
    far: Door, line: SiteProxy, keys: list[str]
) -> None:
    line.delay = 0.1
    # Of signs that take two in JSON.
    fields = [f"{n}: " + "/" * 7900 for n in ("Origin", "Upgrade", "X-Backoffice")]
    calls = [partial(far.ask, TARGET, *fields, key=key) for key in DEAD * 10]
    calls += [partial(far.ask, TARGET, key=key) for key in keys] * 4
    with ThreadPoolExecutor(len(calls)) as pool:
        found = list(pool.map(lambda call: call().status, calls))
    assert found == [401] * 40 + [200] * 8


def test_a_kill_is_seen_by_whoever_comes_after_it(far: Door, keys: list[str]) -> None:
    end_person(far, name_of(far, keys[0]))
    answers = all_at_once(far, keys * 4)
    assert [each.status for each in answers] == [401, 200] * 4


def test_one_round_holds_every_kind_of_verdict(
    far: Door, line: SiteProxy, keys: list[str]
) -> None:
    calls: dict[str | None, Callable[[], Answer]] = {
        "not-allowed": lambda: far.ask("/api/proxy/reports/", key=keys[0]),
        "no-route": lambda: far.ask("/api/proxy/nowhere/", key=keys[0]),
        "bad-path": lambda: far.ask("/api/proxy/echo/%2e%2e/", key=keys[0]),
        "no-method": lambda: far.ask(TARGET, key=keys[1], method="TRACK"),
        "no-proof": lambda: far.ask(TARGET, key=keys[1], method="PUT"),
        "no-session": lambda: far.ask(TARGET),
        "bad-host": lambda: far.ask(TARGET, key=keys[0], host="elsewhere.example"),
        None: lambda: far.ask(TARGET, key=keys[0]),
    }
    line.delay = 0.5
    with ThreadPoolExecutor(2 * len(calls)) as pool:
        running = [(word, pool.submit(call)) for word, call in [*calls.items()] * 2]
        found = [(word, each.result()) for word, each in running]
    assert [each.word for _, each in found] == [word for word, _ in found]
    assert {e.get("Allow") is None for w, e in found if w == "no-method"} == {False}
    assert line.heard.count(CHECKS) < len(found) // 2


def test_an_answer_that_comes_byte_by_byte_is_understood(
    far: Door, line: SiteProxy, keys: list[str]
) -> None:
    line.breaks(in_bytes, CHECKS)
    answers = all_at_once(far, [*keys, *DEAD])
    assert [each.status for each in answers] == [200, 200, 401, 401, 401, 401]


def test_a_connection_that_was_closed_meanwhile_refuses_nobody(
    far: Door, line: SiteProxy, keys: list[str]
) -> None:
    for _ in range(4):
        assert far.ask(TARGET, key=keys[0]).status == 200
        line.cut()


def test_a_connection_that_the_site_ends_is_not_used_again(
    far: Door, line: SiteProxy, keys: list[str]
) -> None:
    def last(line: Line) -> bytes:
        return line.ask().replace(b"Connection: keep-alive", b"Connection: close")

    line.breaks(last, CHECKS)
    line.cut()
    before = line.connections
    assert [far.ask(TARGET, key=keys[0]).status for _ in range(5)] == [200] * 5
    assert line.connections == before + 5


def test_a_round_that_hangs_does_not_hold_up_many_others(
    far: Door, line: SiteProxy, keys: list[str]
) -> None:
    left = [1]

    def first_hangs(line: Line) -> bytes | None:
        left[0] -= 1
        return hanging(line) if left[0] == 0 else None

    line.breaks(first_hangs, CHECKS)
    answers = all_at_once(far, keys * 2 * AT_ONCE)
    refused = [each for each in answers if each.status != 200]
    assert 0 < len(refused) < AT_ONCE
    assert all(map(is_an_outage, refused))


def with_length(body: bytes, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


def with_verdicts(change: Callable[[list[Any]], list[Any]]) -> Fault:
    """The site's answer with other verdicts in it."""

    def fault(line: Line) -> bytes:
        answer = json.loads(line.ask().partition(b"\r\n\r\n")[2])
        answer["verdicts"] = change(answer["verdicts"])
        return with_length(json.dumps(answer).encode())

    return fault


YES = b'{"ticket":"1.1","verdicts":[{"route":"echo","session":"a","token":""}]}'
FAULTS: dict[str, Callable[[], Fault]] = {
    "shifted": lambda: shifted,
    "hanging": lambda: hanging,
    "an error": lambda: with_length(b"", b"500 Internal Server Error"),
    "a refusal": lambda: with_length(b"", b"403 Forbidden"),
    "another ticket": lambda: with_length(YES),
    "one too few": lambda: with_verdicts(lambda verdicts: verdicts[1:]),
    "one too many": lambda: with_verdicts(lambda verdicts: [*verdicts, verdicts[0]]),
    "none": lambda: with_verdicts(lambda _: []),
    "not verdicts": lambda: with_verdicts(lambda verdicts: [None] * len(verdicts)),
    "no JSON": lambda: with_length(b"{"),
    "no object": lambda: with_length(b"[]"),
    "no length": lambda: closing_after(b"HTTP/1.1 200 OK\r\n\r\n" + YES),
    "nonsense": lambda: b"nonsense\r\n\r\n",
    "cut short": lambda: closing_after(with_length(YES)[:-3]),
    "stuck": lambda: hanging_after(with_length(YES)[:-3]),
    "reset": lambda: resetting,
    "the second one stuck": lambda: passing(1, hanging),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_round_that_goes_wrong_lets_nobody_in_and_signs_nobody_out(
    hasty: Door, line: SiteProxy, keys: list[str], fault: str
) -> None:
    assert wait_until(lambda: hasty.ask(TARGET, key=keys[0]).status == 200)
    seen = hasty.seen
    line.breaks(FAULTS[fault](), CHECKS)
    answers = all_at_once(hasty, keys * 4)
    passed = [each for each in answers if each.status == 200]
    refused = [each for each in answers if each.status != 200]
    assert all(map(is_an_outage, refused))
    assert len(passed) <= (4 if fault == "the second one stuck" else 0)
    assert hasty.seen == seen + len(passed)
    line.heals()
    assert wait_until(lambda: hasty.ask(TARGET, key=keys[0]).status == 200)


def test_after_many_rounds_of_which_some_fail_all_is_well(
    far: Door, line: SiteProxy, keys: list[str]
) -> None:
    chance = random.Random(7)  # noqa: S311 - the same faults each time
    faults = b"nonsense\r\n\r\n", resetting, *[None] * 3

    def sometimes(line: Line) -> bytes | None:
        fault = chance.choice(faults)
        return fault(line) if callable(fault) else fault

    line.breaks(sometimes, CHECKS)
    with ThreadPoolExecutor(8) as pool:
        asked = pool.map(lambda key: far.ask(TARGET, key=key).status, keys * 1000)
        assert set(asked) == {200, 503}
    line.heals()
    assert {far.ask(TARGET, key=keys[0]).status for _ in range(20)} == {200}
