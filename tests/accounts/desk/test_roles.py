"""Who may do what at the desk: every page of it for every role, allowed or not."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from pytest_django.fixtures import Settings

from accounts.audit import Event, record
from accounts.models import AuditEntry, User
from accounts.rights import Role
from tests.accounts.desk.conftest import END, LIST, opened
from tests.accounts.sessions.conftest import is_live, sign_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

SESSION = "a" * 24
AUDIT, PEOPLE = "/admin/accounts/auditentry/", "/admin/accounts/user/"
# Address, and the roles that may open it.
PAGES: dict[str, set[Role]] = {
    "/admin/": set(Role),
    LIST: {Role.ADMIN, Role.OPERATOR},
    f"{LIST}picture/": {Role.ADMIN, Role.OPERATOR},
    f"{LIST}{SESSION}/": {Role.ADMIN, Role.OPERATOR},
    f"{END}?session={SESSION}": {Role.ADMIN, Role.OPERATOR},
    f"{END}?scope=everyone": {Role.ADMIN},
    f"{LIST}ending/0123456789ab/": {Role.ADMIN},
    AUDIT: {Role.ADMIN, Role.AUDITOR},
    PEOPLE: set(Role),
    # In Django's admin, and in nobody's permissions.
    "/admin/auth/group/": set(),
    "/admin/social_django/usersocialauth/": set(),
    f"{AUDIT}add/": set(),
    f"{PEOPLE}add/": set(),
}


@pytest.fixture(autouse=True)
def _no_step_up(settings: Settings) -> None:
    settings.STEP_UP_SECONDS = 0


def hold(user: User, role: Role, *, is_staff: bool = True) -> User:
    user.is_staff = is_staff
    user.save()
    user.groups.set([Group.objects.get(name=role.value)])
    return user


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("address", PAGES)
def test_page_opens_for_the_roles_that_it_is_for(
    client: Client, user: User, address: str, role: Role
) -> None:
    record(Event.SIGNED_IN, session_id=SESSION)
    sign_in(client, hold(user, role))
    found = client.get(address).status_code
    # A session to be ended that is not there leads back; that is no refusal.
    expected = {200, 302} if role in PAGES[address] else {403, 404}
    assert found in expected


@pytest.mark.parametrize("address", [each for each, roles in PAGES.items() if roles])
def test_page_is_refused_to_who_has_the_role_but_may_not_enter_the_desk(
    client: Client, user: User, address: str
) -> None:
    """`is_staff` and the groups are two guards; either alone opens nothing."""
    record(Event.SIGNED_IN, session_id=SESSION)
    sign_in(client, hold(user, Role.ADMIN, is_staff=False))
    assert client.get(address).status_code == 403


def test_finding_is_refused_to_who_may_not_enter_the_desk(
    client: Client, user: User
) -> None:
    sign_in(client, hold(user, Role.ADMIN, is_staff=False))
    assert client.post(f"{LIST}find/", {"text": "haneul"}).status_code == 403


def test_finding_is_refused_to_an_auditor(client: Client, user: User) -> None:
    sign_in(client, hold(user, Role.AUDITOR))
    assert client.post(f"{LIST}find/", {"text": "haneul"}).status_code == 403


def test_auditor_ends_nothing(client: Client, user: User) -> None:
    sign_in(client, hold(user, Role.AUDITOR))
    victim = opened()
    chosen = {"session": [victim.session_id], "confirmed": "yes", "reason": "x"}
    assert client.post(END, chosen).status_code == 403
    assert is_live(victim)


def test_operator_ends_one_but_not_everyone(client: Client, user: User) -> None:
    sign_in(client, hold(user, Role.OPERATOR))
    victim, other = opened("u-2"), opened("u-3")
    chosen = {"session": [victim.session_id], "confirmed": "yes", "reason": "x"}
    assert client.post(END, chosen).status_code == 302
    everyone = {"scope": "everyone", "confirmed": "yes", "reason": "x", "own": "on"}
    assert client.post(END, everyone).status_code == 403
    assert [is_live(victim), is_live(other)] == [False, True]


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
@pytest.mark.parametrize("address", [LIST, f"{LIST}picture/", f"{LIST}{SESSION}/"])
def test_page_that_changes_nothing_takes_get_and_head_alone(
    client: Client, admin: User, address: str, method: str
) -> None:
    record(Event.SIGNED_IN, session_id=SESSION)
    sign_in(client, admin)
    answer = getattr(client, method)(address)
    assert (answer.status_code, answer["Allow"]) == (405, "GET, HEAD")


def test_what_was_pasted_comes_by_post_alone(client: Client, admin: User) -> None:
    """In the address of a page it would stand in logs and in the history."""
    sign_in(client, admin)
    answer = client.get(f"{LIST}find/", {"text": "haneul"})
    assert (answer.status_code, answer["Allow"]) == (405, "POST")


@pytest.mark.parametrize("role", [Role.ADMIN, Role.AUDITOR])
def test_entry_of_the_audit_can_be_read_and_not_changed(
    client: Client, user: User, role: Role
) -> None:
    record(Event.SIGNED_IN, subject="haneul", session_id=SESSION)
    entry = AuditEntry.objects.get()
    sign_in(client, hold(user, role))
    page = client.get(f"{AUDIT}{entry.pk}/change/")
    assert page.status_code == 200
    assert 'name="_save"' not in page.content.decode()
    changed = client.post(f"{AUDIT}{entry.pk}/change/", {"subject": "nobody"})
    assert changed.status_code == 403
    removed = client.post(f"{AUDIT}{entry.pk}/delete/", {"post": "yes"})
    assert removed.status_code == 403
    chosen = {"action": "delete_selected", "_selected_action": [entry.pk], "post": "y"}
    client.post(AUDIT, chosen)
    assert AuditEntry.objects.get(pk=entry.pk).subject == "haneul"


def test_account_can_be_read_and_not_changed(client: Client, admin: User) -> None:
    sign_in(client, admin)
    address = f"{PEOPLE}{admin.pk}/"
    assert client.get(f"{address}change/").status_code == 200
    everything = {"is_active": "on", "is_staff": "on", "name": "Root"}
    assert client.post(f"{address}change/", everything).status_code == 403
    assert client.post(f"{address}delete/", {"post": "yes"}).status_code == 403
    chosen = {"action": "delete_selected", "_selected_action": [admin.pk], "post": "y"}
    client.post(PEOPLE, chosen)
    assert User.objects.get(pk=admin.pk).name == admin.name


@pytest.mark.parametrize("path", ["password_change/", "password_change/done/"])
def test_desk_has_no_password_to_change(client: Client, admin: User, path: str) -> None:
    sign_in(client, admin)
    assert client.get(f"/admin/{path}").status_code == 404
    assert client.post(f"/admin/{path}", {"new_password1": "x"}).status_code == 404


def test_desk_s_own_sign_out_ends_no_session(client: Client, admin: User) -> None:
    """It takes GET too: the one way out is `/sign-out/`, by POST."""
    session = sign_in(client, admin)
    assert client.get("/admin/logout/")["Location"] == "/"
    assert client.post("/admin/logout/")["Location"] == "/"
    assert is_live(session)


def test_desk_s_own_sign_in_page_takes_no_password(client: Client, user: User) -> None:
    answer = client.post("/admin/login/", {"username": "haneul", "password": "x"})
    assert answer["Location"].startswith("/sign-in/")
    sign_in(client, user)
    assert client.get("/admin/login/").status_code == 403
