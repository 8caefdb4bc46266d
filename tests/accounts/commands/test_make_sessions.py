from __future__ import annotations

import pytest
from pytest_django.fixtures import Settings

from accounts.audit.verification import verify
from accounts.management import crowd
from accounts.models import AuditEntry, User
from accounts.sessions import census, live
from tests.accounts.commands.test_audit_commands import run
from tests.accounts.sessions.conftest import begin

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

FEW = ("--sessions", "60", "--staff", "7")


def test_makes_live_sessions_of_people_with_accounts_and_entries() -> None:
    code, out, beside = run("make_sessions", *FEW, "--yes")
    assert (code, out, beside) == (0, "Made 60 sessions. Live: 60.\n", "")
    assert (census.check().live, census.check().strays) == (60, 0)
    assert User.objects.count() == 7
    assert AuditEntry.objects.filter(event="session:signed-in").count() == 60
    assert verify().holds


def test_what_it_makes_can_be_told_apart_by_every_filter() -> None:
    run("make_sessions", *FEW, "--yes")
    found = live.select(live.Selection(), size=60).sessions
    assert len({session.device for session in found}) > 3
    assert len({session.profile.department for session in found}) > 2
    assert len({session.address for session in found}) > 30
    one = found[0]
    some = live.Selection(group=one.profile.groups[1], agent=one.device.split()[0])
    assert 0 < live.select(some).total < 60


def test_same_number_is_the_same_person() -> None:
    assert crowd.person(3) == crowd.person(3) != crowd.person(4)


def test_refuses_in_production_and_beside_real_sessions(settings: Settings) -> None:
    assert run("make_sessions", *FEW)[0] == 2
    begin()
    assert run("make_sessions", *FEW, "--yes")[0] == 1
    assert live.count() == 1
    settings.DEBUG = True
    assert run("make_sessions", *FEW, "--add")[0] == 0
    assert live.count() == 61
