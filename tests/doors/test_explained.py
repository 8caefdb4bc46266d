"""What `manage.py explain_route` says of a call is what each door does with it."""

from __future__ import annotations

import random
from pathlib import Path
from urllib.parse import unquote

import pytest
from pytest_django.fixtures import Settings

from accounts.profile import StaffProfile
from backoffice.proxy.explanation import Explanation, explain
from tests.doors.conftest import fresh_key
from tests.doors.house import Door, House, proof
from tests.journeys.site import FINANCE, SUPPORT

CALLS = 600
METHODS = (
    *("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"),
    "FOO",
)
# Of the routes of the house, those whose upstream answers.
ROUTES = (
    *("echo", "kept", "signed", "reports", "bulk", "halted", "crm", "crm/admin"),
    *("absent", "", "ECHO", "ech", "%65cho", "crm%2Fadmin", "nested", "admin"),
)
RESTS = (
    *("", "", "/", "/x", "/x/42?y=%2F..", "?y=/admin", "/admin", "/admin/x", "/Admin"),
    *("/%61dmin", "/admin;v=1", "/x/admin", "/administer", "/a%2Fb", "/%zz", "/%ff"),
    *("/../crm", "/%2e%2e/crm", "//", "/a\\b", "/%00", "/~x", "/[x]"),
)


@pytest.fixture
def people(
    house: House, settings: Settings
) -> list[tuple[str | None, StaffProfile | None]]:
    """Session keys and profiles, nobody's first; the table is that of the house."""
    settings.ROUTES_FILE = Path(house.site.environment["ROUTES_FILE"])
    keys = [fresh_key(house, person) for person in (SUPPORT, FINANCE)]
    return [(None, None), *((key, profile_of(house, key)) for key in keys)]


def profile_of(house: House, key: str) -> StaffProfile:
    """As an upstream learns it."""
    assert house.door("embedded").ask("/api/proxy/echo/", key=key).status == 200
    said = str(house.upstream.last.get("X-Staff-Groups"))
    groups = tuple(unquote(group) for group in said.split(","))
    return StaffProfile("", "x", "x", "", "", "", groups)


def test_an_explanation_is_what_happens(
    door: Door, people: list[tuple[str | None, StaffProfile | None]]
) -> None:
    chance = random.Random(20261130)  # noqa: S311 - the same calls each time
    met = set()
    for _ in range(CALLS):
        key, profile = chance.choice([*people, *people[1:]])
        method = chance.choice(METHODS)
        target = f"/api/proxy/{chance.choice(ROUTES)}{chance.choice(RESTS)}"
        said = explain(method, target, profile)
        assert happens(door, method, target, key) == meant(said), (
            method,
            target,
            profile,
            said,
        )
        met.add(said.word)
    assert met == {
        *("", "bad-path", "no-session", "no-route", "no-method", "not-allowed")
    }


def meant(said: Explanation) -> tuple[int, str, bytes]:
    target = said.target if said.target.startswith("/") else f"/{said.target}"
    return said.status, said.word, b"" if said.word else target.encode()


def happens(
    door: Door, method: str, target: str, key: str | None
) -> tuple[int, str, bytes]:
    """Status and word, and what the upstream was asked for."""
    seen = door.seen
    answer = door.ask(target, *proof(door), key=key, method=method)
    sent = door.house.upstream.last.target if door.seen > seen else b""
    # nginx has a page of its own for what is malformed (docs/doors.md).
    own_page = answer.status == 400 and door.name != "embedded"
    return answer.status, answer.word or "bad-path" * own_page, sent
