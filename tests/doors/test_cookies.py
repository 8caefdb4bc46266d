"""Cookies of an upstream whose route names them, both ways, at each door."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from backoffice.proxy.cookies import to_browser, to_upstream
from tests.doors.house import DOORS, Door, House
from tests.fakes.upstream import answer, closing

NAMED = frozenset({"theme", "tab"})
ROUTE, PREFIX = "themed", "crm/themed"


def received(door: Door, key: str, lines: list[str]) -> list[str]:
    """What the browser gets to keep when an upstream sets this."""
    fields = [("Connection", "close"), *(("Set-Cookie", line) for line in lines)]
    target = door.act(closing(answer(fields=fields, body=b"hello")))
    found = door.ask(f"/api/proxy/{PREFIX}/{target}", key=key)
    assert (found.status, found.content) == (200, b"hello")
    return found.all("Set-Cookie")


def sent(door: Door, key: str, cookies: str) -> list[str]:
    """What the upstream gets of this Cookie field, which has our own in it."""
    target, field = f"/api/proxy/{PREFIX}/", f"Cookie: {cookies}; session_id={key}"
    assert door.ask(target, field).status == 200
    return door.house.upstream.last.all("Cookie")


def test_named_cookies_go_both_ways_and_no_others(door: Door, lasting_key: str) -> None:
    lines = ["theme=a; Path=/; Domain=x; Max-Age=60", "session_id=planted", "tab=b"]
    ours = "Path=/api/proxy/crm/themed; HttpOnly; SameSite=Lax"
    assert received(door, lasting_key, lines) == [
        f"themed.theme=a; Max-Age=60; {ours}",
        f"themed.tab=b; {ours}",
    ]
    cookies = "themed.tab=1; theme=x; other.theme=y; themed.theme=2; themed.other=3"
    assert sent(door, lasting_key, cookies) == ["tab=1; theme=2"]
    assert sent(door, lasting_key, "theme=x") == []


def test_a_refusal_sets_none(door: Door, lasting_key: str) -> None:
    head = b"HTTP/1.1 200 OK\r\nSet-Cookie: theme=a\r\nContent-Length: 1\r\n"
    target = door.act(closing(head + b"Content-Length: 2\r\n\r\n12"))
    found = door.ask(f"/api/proxy/{PREFIX}/{target}", key=lasting_key)
    assert (found.status, found.all("Set-Cookie")) == (502, [])


NAMES = ("theme", "tab", "Theme", "themed.theme", "sid", "", " theme", "theme ")
VALUES = ("", "a", "a b", "a,b", '"a"', "a=b", "a%20", "\\", "[]", "-:<", "~!#$&'()")
LIVES = (
    *("Max-Age=60", "max-age = 7 ", "Max-Age=-1", "Max-Age=x", "Max-Age=" + "1" * 11),
    *(
        "Max-Age=-" + "1" * 10,
        "Max-Age",
        "Expires=Thu, 01 Jan 1970",
        "Secure",
        "",
        "\t",
    ),
)
LEADS = ("themed.", "themed.", " themed.", "\tthemed.", "")
ROUNDS = 150


@pytest.mark.parametrize("name", DOORS)
def test_the_doors_agree_on_cookies_that_chance_makes(
    house: House, lasting_key: str, name: str
) -> None:
    chance, door = random.Random(20261130), house.door(name)  # noqa: S311

    def some(of: Sequence[str], at_most: int) -> list[str]:
        return chance.choices(of, k=chance.randint(0, at_most))

    for _ in range(ROUNDS):
        pairs = [first + "=" + chance.choice(VALUES) for first in some(NAMES, 3)]
        pairs += some(NAMES, 1)
        lines = ["; ".join([pair, *some(LIVES, 3)]) for pair in pairs]
        kept = to_browser(lines, NAMED, ROUTE, PREFIX, https=False)
        assert received(door, lasting_key, lines) == kept, lines
        field = ";".join(chance.choice(LEADS) + pair for pair in ["a=b", *pairs])
        passed = to_upstream(field, NAMED, ROUTE, https=False)
        assert sent(door, lasting_key, field) == [passed] * bool(passed), field


@pytest.mark.parametrize("length", [4096, 4097])
def test_what_a_browser_would_not_keep_is_left_out(
    door: Door, lasting_key: str, length: int
) -> None:
    bare = len(to_browser(["theme="], NAMED, ROUTE, PREFIX, https=False)[0])
    line = "theme=" + "a" * (length - bare)
    assert len(received(door, lasting_key, [line])) == (length == 4096)
