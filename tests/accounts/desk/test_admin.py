from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from accounts.desk import listing as desk
from accounts.models import AuditEntry, User
from accounts.sessions import live
from tests.accounts.sessions.conftest import PROFILE, begin, is_live, sign_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

LIST = "/admin/accounts/livesession/"
END = f"{LIST}end/"


def test_list_shows_people_and_no_key(client: Client, admin: User) -> None:
    own, other = sign_in(client, admin), begin("u-2")
    page = client.get(LIST).content.decode()
    assert str(PROFILE["name"]) in page
    assert str(other.session_id) in page
    assert "this browser" in page
    for session in (own, other):
        assert str(session.session_key) not in page


def test_hostile_names_and_agents_are_escaped(client: Client, admin: User) -> None:
    sign_in(client, admin)
    session = begin("u-2")
    hostile = "<script>alert(1)</script>"
    session["profile"] = {**PROFILE, "name": hostile}
    session["sign_in"] = {"provider": hostile, "agent": hostile, "address": hostile}
    session.save()
    page = client.get(LIST).content.decode()
    assert hostile not in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize("query", ["?p=0", "?p=99", "?p=x", "?o=nonsense", "?o=end"])
def test_odd_addresses_of_the_list_still_show_it(
    client: Client, admin: User, query: str
) -> None:
    sign_in(client, admin)
    assert client.get(LIST + query).status_code == 200


def test_list_is_paged(
    client: Client, admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "PAGE_SIZE", 2)
    sign_in(client, admin)
    ids = {str(begin(f"u-{n}").session_id) for n in range(4)}
    pages = [client.get(f"{LIST}?o=start&p={n}").content.decode() for n in (1, 2, 3)]
    assert all(sum(i in page for page in pages) == 1 for i in ids)


def test_ending_asks_first_and_ends_nothing_yet(client: Client, admin: User) -> None:
    sign_in(client, admin)
    victim = begin("u-2")
    page = client.post(END, {"session": [victim.session_id]}).content.decode()
    assert "This ends 1 session" in page
    assert is_live(victim)


def test_ending_ends_exactly_the_chosen_and_records_why(
    client: Client, admin: User
) -> None:
    sign_in(client, admin)
    victim, other = begin("u-2"), begin("u-3")
    chosen = {"session": [victim.session_id], "confirmed": "yes", "reason": "theft"}
    client.post(END, chosen)
    assert [is_live(victim), is_live(other)] == [False, True]
    entry = AuditEntry.objects.get(event="session:killed")
    assert (entry.actor, entry.reason) == ("desk", "theft")


def test_own_session_among_the_chosen_is_said(client: Client, admin: User) -> None:
    own = sign_in(client, admin)
    page = client.post(END, {"session": [own.session_id]}).content.decode()
    assert "End my own session as well" in page


@pytest.mark.parametrize("chosen", [[], ["nonsense"], ["k" * 32], ["'; DROP"]])
def test_what_is_no_session_ends_nothing(
    client: Client, admin: User, chosen: list[str]
) -> None:
    sign_in(client, admin)
    answer = client.post(END, {"session": chosen, "confirmed": "yes"})
    assert answer.status_code == 302
    assert live.count() == 1


def test_seeing_is_not_ending(client: Client, user: User) -> None:
    user.is_staff = True
    user.save()
    user.user_permissions.add(Permission.objects.get(codename="view_livesession"))
    sign_in(client, user)
    victim = begin("u-2")
    page = client.get(LIST)
    assert page.status_code == 200
    assert "End the chosen sessions" not in page.content.decode()
    chosen = {"session": [victim.session_id], "confirmed": "yes"}
    assert client.post(END, chosen).status_code == 403
    assert is_live(victim)


@pytest.mark.parametrize("is_staff", [True, False])
@pytest.mark.parametrize(
    "path", ["", "end/?scope=everyone", "ending/x/", "picture/", "a" * 24 + "/"]
)
def test_without_the_permission_every_page_is_403_and_no_link_leads_there(
    client: Client, user: User, path: str, is_staff: bool
) -> None:
    user.is_staff = is_staff
    user.save()
    sign_in(client, user)
    assert client.get(LIST + path).status_code == 403
    assert client.post(f"{LIST}find/", {"text": "x"}).status_code == 403
    assert LIST not in client.get("/").content.decode()


def test_ending_needs_the_csrf_token(admin: User) -> None:
    client = Client(enforce_csrf_checks=True)
    sign_in(client, admin)
    victim = begin("u-2")
    chosen = {"session": [victim.session_id], "confirmed": "yes"}
    assert client.post(END, chosen).status_code == 403
    assert is_live(victim)


@pytest.mark.parametrize("path", ["add/", "1/change/", "1/delete/", "1/history/"])
def test_there_is_no_other_way_to_touch_a_session(
    client: Client, admin: User, path: str
) -> None:
    sign_in(client, admin)
    assert client.get(LIST + path).status_code == 404


@pytest.mark.parametrize("model", ["auditentry", "user"])
def test_audit_and_people_are_read_only(
    client: Client, admin: User, model: str
) -> None:
    sign_in(client, admin)
    assert client.get(f"/admin/accounts/{model}/").status_code == 200
    assert client.get(f"/admin/accounts/{model}/add/").status_code == 403
    delete = f"/admin/accounts/user/{admin.pk}/delete/"
    assert client.post(delete, {"post": "yes"}).status_code == 403
