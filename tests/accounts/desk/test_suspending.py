from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import Group
from django.db import DatabaseError
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from accounts import suspension
from accounts.models import AuditEntry, Revocation, Suspension, User
from accounts.rights import Role
from tests.accounts.desk.conftest import END, LIST, opened
from tests.accounts.sessions.conftest import ISSUER, is_live, sign_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

SUSPEND = "/admin/accounts/suspension/suspend/"
RESTORE = "/admin/accounts/suspension/restore/"
FIND = "/admin/accounts/suspension/find/"
SUSPENSIONS = "/admin/accounts/suspension/"
PEOPLE = "/admin/accounts/user/"
WHO = {"issuer": ISSUER, "sub": "u-2"}
LINK = urlencode(WHO).replace("&", "&amp;")


@pytest.fixture(autouse=True)
def _known_provider(settings: Settings) -> None:
    settings.PROVIDERS = (replace(settings.PROVIDERS[0], issuer=ISSUER),)


def post(desk: Client, address: str, **fields: Any) -> Any:
    return desk.post(address, {**WHO, "reason": "phone stolen", **fields})


def text(answer: Any) -> str:
    found: str = answer.content.decode()
    return found


def suspended(sub: str = "u-2", **fields: Any) -> Suspension:
    return Suspension.objects.create(
        issuer=ISSUER, sub=sub, name=sub, reason="phone stolen", by="desk", **fields
    )


def test_asking_shows_what_ends_and_suspends_nobody(desk: Client) -> None:
    session = opened()
    page = text(desk.get(SUSPEND, WHO))
    assert "can no longer sign in, and their 1 live session ends" in page
    assert str(session.session_id) in page
    assert is_live(session)
    assert not Suspension.objects.exists()


def test_suspending_ends_the_sessions_and_leads_to_the_person(desk: Client) -> None:
    session, other = opened(), opened("u-3")
    until = (timezone.localtime() + timedelta(days=2)).strftime("%Y-%m-%dT%H:%M")
    answer = post(desk, SUSPEND, until=until)
    user = User.objects.get(sub="u-2")
    assert answer["Location"] == f"{PEOPLE}{user.pk}/change/"
    page = text(desk.get(answer["Location"]))
    for words in (
        "Suspended: 김하늘 (u-2).",
        "1 session ended.",
        "session at the sign-in provider is still alive",
        "This person is suspended",
        "phone stolen",
        "Lift the suspension…",
    ):
        assert words in page
    assert (is_live(session), is_live(other)) == (False, True)
    row = suspension.current(ISSUER, "u-2")
    assert row
    assert (row.by, timezone.localtime(row.until).strftime("%Y-%m-%dT%H:%M")) == (
        "desk",
        until,
    )
    entry = AuditEntry.objects.get(event="person:suspended")
    assert (entry.actor, entry.subject) == ("desk", "u-2")


@pytest.mark.parametrize(
    "wrong", [{"reason": " "}, {"until": "2020-01-01T09:00"}, {"until": "soon"}]
)
def test_mistake_suspends_nobody(desk: Client, wrong: dict[str, str]) -> None:
    session = opened()
    answer = post(desk, SUSPEND, **wrong)
    assert answer.status_code == 422
    assert "Nobody has been suspended yet" in text(answer)
    assert is_live(session)


def test_oneself_takes_a_tick(desk: Client, admin: User) -> None:
    me = {"issuer": admin.issuer, "sub": admin.sub}
    assert "I suspend myself" in text(desk.get(SUSPEND, me))
    assert post(desk, SUSPEND, **me).status_code == 422
    assert not Suspension.objects.exists()
    assert post(desk, SUSPEND, **me, own="on").status_code == 302
    assert Suspension.objects.get().sub == admin.sub
    assert desk.get(LIST).status_code == 302


def test_restoring_takes_a_reason_and_is_recorded(desk: Client) -> None:
    opened(), suspended(), suspended()
    assert "can sign in again" in text(desk.get(RESTORE, WHO))
    assert post(desk, RESTORE, reason="").status_code == 422
    answer = post(desk, RESTORE, reason="phone found")
    assert "Lifted: 김하늘 (u-2) can sign in again." in text(
        desk.get(answer["Location"])
    )
    assert suspension.current(ISSUER, "u-2") is None
    assert AuditEntry.objects.filter(event="person:restored").count() == 2
    again = post(desk, RESTORE, reason="again")
    assert "was not suspended any more" in text(desk.get(again["Location"]))


@pytest.mark.parametrize("address", [SUSPEND, RESTORE])
def test_fresh_sign_in_is_asked_for(
    desk: Client, settings: Settings, address: str
) -> None:
    settings.STEP_UP_SECONDS = 300
    opened(), suspended()
    assert desk.get(address, WHO).status_code == 403
    assert post(desk, address).status_code == 403
    assert Suspension.objects.filter(lifted_at=None).count() == 1


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.AUDITOR])
def test_only_security_admins_suspend_and_restore(
    client: Client, user: User, role: Role
) -> None:
    session = opened()
    user.is_staff = True
    user.save()
    user.groups.add(Group.objects.get(name=role.value))
    sign_in(client, user)
    for address in (SUSPEND, RESTORE):
        assert client.get(address, WHO).status_code == 403
        assert post(client, address).status_code == 403
    assert client.get(FIND).status_code == 403
    assert is_live(session)
    # They see who is suspended, and no button.
    suspended()
    person = User.objects.get(sub="u-2")
    page = text(client.get(f"{PEOPLE}{person.pk}/change/"))
    assert "This person is suspended" in page
    assert SUSPEND not in page
    assert RESTORE not in page
    assert "u-2" in text(client.get(SUSPENSIONS))


def test_button_is_on_the_persons_page_the_session_and_beside_the_end(
    desk: Client,
) -> None:
    session = opened()
    person = User.objects.get(sub="u-2")
    for address in (
        f"{PEOPLE}{person.pk}/change/",
        f"{LIST}{session.session_id}/",
        f"{END}?session={session.session_id}",
    ):
        assert f"{SUSPEND}?{LINK}" in text(desk.get(address)), address


def test_page_of_a_session_that_is_over_shows_the_suspension(desk: Client) -> None:
    session = opened()
    AuditEntry.objects.exists()
    suspended()
    assert "This person is suspended" in text(desk.get(f"{LIST}{session.session_id}/"))


def test_people_are_filtered_and_marked(desk: Client) -> None:
    opened(), opened("u-3"), suspended()
    suspended("u-3", until=timezone.now() - timedelta(seconds=1))
    yes, no = (
        text(desk.get(PEOPLE, {"suspended": answer})) for answer in ("yes", "no")
    )
    assert ("u-2@" in yes, "u-3@" in yes) == (True, False)
    assert ("u-2@" in no, "u-3@" in no) == (False, True)
    assert "<strong>Suspended</strong>" in yes
    assert "<strong>Suspended</strong>" not in no


def test_list_of_suspensions_tells_which_are_in_effect(desk: Client) -> None:
    suspended("in-effect")
    suspended("is-over", until=timezone.now() - timedelta(seconds=1))
    for state, sub in (("in-effect", "in-effect"), ("over", "is-over")):
        page = text(desk.get(SUSPENSIONS, {"state": state}))
        others = {"in-effect", "is-over"} - {sub}
        assert f">{sub}</a>" in page
        assert all(f">{other}</a>" not in page for other in others)
    row = Suspension.objects.get(sub="in-effect")
    assert "Lift the suspension…" in text(desk.get(f"{SUSPENSIONS}{row.pk}/change/"))


def test_somebody_who_never_signed_in_is_suspended_by_address(desk: Client) -> None:
    given = {"provider": ISSUER, "kind": "email", "value": "New@Example.com"}
    answer = desk.post(FIND, given)
    assert answer.status_code == 302
    assert "new@example.com" in text(desk.get(answer["Location"])).lower()
    done = desk.post(
        SUSPEND, {"issuer": ISSUER, "email": "New@Example.com", "reason": "not hired"}
    )
    assert done["Location"] == SUSPENSIONS
    assert suspension.current(ISSUER, "u-9", "new@example.com")
    assert desk.post(FIND, {**given, "value": "nonsense"}).status_code == 422


@pytest.mark.parametrize(
    "who",
    [
        {},
        {"issuer": ISSUER},
        {"issuer": "https://evil.example", "sub": "u-2"},
        {"issuer": ISSUER, "sub": "stranger", "email": "a@example.com"},
    ],
)
def test_nobody_in_particular_is_not_found(desk: Client, who: dict[str, str]) -> None:
    assert desk.get(SUSPEND, who).status_code == 404


def test_database_away_is_told_and_nobody_is_said_to_be_suspended(
    desk: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = opened()

    def away(*args: Any, **kwargs: Any) -> None:
        raise DatabaseError

    monkeypatch.setattr(Revocation.objects, "bulk_create", away)
    page = text(desk.get(post(desk, SUSPEND)["Location"]))
    assert "NOT suspended: 김하늘 (u-2)" in page
    assert "Suspended: " not in page
    assert not is_live(session)


def test_after_an_end_the_page_says_that_the_provider_still_knows_them(
    desk: Client,
) -> None:
    session = opened()
    end = {"session": session.session_id, "reason": "theft", "confirmed": "yes"}
    desk.post(END, end)
    assert "to keep a person out, suspend them" in text(desk.get(LIST))
