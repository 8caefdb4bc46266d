"""D1: SQL is a real file that is locked or may not be written.

Who is signed in goes on, who is not cannot sign in, and a kill says how far it got.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connections
from django.db.utils import load_backend
from django.test import Client

from accounts.models import AuditEntry, Revocation, User
from accounts.profile import StaffProfile
from accounts.sessions import clock, fence, live
from accounts.sessions.store import TOUCH_SECONDS
from tests.accounts.sessions.conftest import (
    PROFILE,
    again,
    begin,
    is_live,
    sign_in,
)
from tests.accounts.sessions.test_outages import passes_gate
from tests.accounts.sso.person import Person
from tests.conftest import Travel

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

WAL = "PRAGMA journal_mode=WAL;"
Away = Callable[[], AbstractContextManager[None]]


@contextmanager
def in_file(name: str, **options: object) -> Iterator[None]:
    """The site's database is this file meanwhile."""
    usual = connections["default"]
    changed = {**usual.settings_dict, "NAME": name}
    changed["OPTIONS"] = {**changed["OPTIONS"], "timeout": 0.1, **options}
    backend = load_backend(changed["ENGINE"])
    connections["default"] = backend.DatabaseWrapper(changed, "default")
    try:
        yield
    finally:
        connections["default"].close()
        connections["default"] = usual


@pytest.fixture
def file(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A copy of the tests' database, in which the site works from now on."""
    path = tmp_path / "db.sqlite3"
    connections["default"].ensure_connection()
    with closing(sqlite3.connect(path)) as copy:
        copy.execute(WAL)
        # What the test's own transaction wrote is not in a copy of the database.
        usual = connections["default"].connection
        for statement in usual.iterdump():
            copy.execute(statement)
        copy.commit()
    with in_file(str(path)):
        yield path


@pytest.fixture(params=["locked", "read-only"])
def away(file: Path, request: pytest.FixtureRequest) -> Away:
    """SQL takes no writes as long as this context lasts."""

    @contextmanager
    def locked() -> Iterator[None]:
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")

    @contextmanager
    def read_only() -> Iterator[None]:
        with in_file(f"file:{file}?mode=ro", init_command="SELECT 1"):
            yield

    return locked if request.param == "locked" else read_only


@pytest.fixture
def staff(file: Path) -> User:
    """A person with an account in that file."""
    return User.objects.enter(StaffProfile(**{**PROFILE, "groups": ("staff",)}))[0]


def test_live_session_passes_the_gate_and_sees_its_pages(
    away: Away, staff: User, client: Client, travel: Travel
) -> None:
    session = sign_in(client, staff)
    with away():
        travel.shift(TOUCH_SECONDS + 1)
        assert passes_gate(client)
        assert client.get("/").status_code == 200
    used = again(session)
    used.open()
    assert used.last_used >= clock.now() - TOUCH_SECONDS


def test_sign_in_starts_without_sql_and_ends_with_503(
    away: Away, person: Person
) -> None:
    """To start one writes nothing."""
    with away():
        answer = person.come_back(person.callback())
    assert answer.status_code == 503
    assert b"<h1>" in answer.content
    assert set(answer.cookies) <= {settings.CSRF_COOKIE_NAME}


def test_sign_in_that_was_begun_ends_with_503_and_no_session(
    away: Away, person: Person
) -> None:
    back = person.callback()
    with away():
        answer = person.come_back(back)
    assert answer.status_code == 503
    assert person.signed_in_as is None
    assert live.count() == 0


def test_kill_is_done_told_as_not_durable_and_written_when_sql_is_back(
    away: Away, file: Path
) -> None:
    victim, other = begin("u-1"), begin("u-2")
    with away():
        outcome = live.end([str(victim.session_id)], by="desk", reason="stolen")
        assert (len(outcome.ended), outcome.durable) == (1, False)
        assert [is_live(victim), is_live(other)] == [False, True]
    assert not Revocation.objects.exists()
    assert live.settle() == 1
    assert Revocation.objects.get().reason == "stolen"
    assert AuditEntry.objects.get(event="session:killed").actor == "desk"


def test_kill_at_the_desk_says_not_yet_durable(
    away: Away, staff: User, client: Client
) -> None:
    staff.is_staff = staff.is_superuser = True
    staff.save()
    sign_in(client, staff)
    victim = begin("u-1")
    said = {"session": str(victim.session_id), "reason": "stolen", "confirmed": "yes"}
    with away():
        answer = client.post(
            "/admin/accounts/livesession/end/", {**said, "shown": "1"}, follow=True
        )
    assert "not yet durable" in answer.content.decode()
    assert not is_live(victim)


def test_own_sign_out_is_done(away: Away, staff: User, client: Client) -> None:
    session = sign_in(client, staff)
    with away():
        answer = client.post("/sign-out/")
    assert answer.status_code == 302
    assert not is_live(session)


def test_ledger_that_can_be_read_is_enough_for_the_fence(
    away: Away, file: Path
) -> None:
    victim, other = begin("u-1"), begin("u-2")
    live.end([str(victim.session_id)], by="desk")
    with away():
        fence.lower()
        assert [is_live(victim), is_live(other)] == [False, True]


# Yesterday's SQL ---------------------------------------------------------------------


def test_ledger_of_yesterday_revives_nobody_in_a_store_of_today(
    file: Path, tmp_path: Path, travel: Travel
) -> None:
    """D2: what was killed is gone from the store, whatever SQL remembers."""
    with (
        closing(sqlite3.connect(file)) as now,
        closing(sqlite3.connect(tmp_path / "yesterday")) as yesterday,
    ):
        now.backup(yesterday)
    one, person, all_ = begin("u-1"), begin("u-2"), begin("u-3")
    travel.shift(1)
    live.end([str(one.session_id)], by="desk")
    live.end_subject("https://idp.example", "u-2", by="desk")
    live.end_everyone(by="desk")
    travel.shift(1)
    later = begin("u-4")
    connections["default"].close()
    with (
        closing(sqlite3.connect(tmp_path / "yesterday")) as yesterday,
        closing(sqlite3.connect(file)) as now,
    ):
        yesterday.backup(now)
    assert not Revocation.objects.exists()
    fence.lower()
    dead = [is_live(each) for each in (one, person, all_)]
    assert (dead, is_live(later)) == ([False] * 3, True)
    assert [each.id for each in live.page()] == [later.session_id]
