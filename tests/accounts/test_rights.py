from __future__ import annotations

from collections.abc import Callable

import pytest
from django.apps import apps
from django.contrib.auth import authenticate
from django.contrib.auth.models import Group, Permission
from django.core.exceptions import PermissionDenied
from django.test import Client

from accounts import rights
from accounts.models import AuditEntry, User
from accounts.rights import PERMISSIONS, Role
from accounts.sessions import live
from tests.accounts.sessions.conftest import begin, is_live
from tests.accounts.sessions.conftest import sign_in as open_session

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]


def names(role: Role) -> set[str]:
    group = Group.objects.get(name=role.value)
    return set(group.permissions.values_list("codename", flat=True))


@pytest.mark.parametrize("role", list(Role))
def test_migrate_leaves_each_role_its_permissions_and_no_others(role: Role) -> None:
    Group.objects.get(name=role.value).permissions.set(Permission.objects.all()[:1])
    rights.grant(apps.get_app_config("accounts"))
    assert names(role) == PERMISSIONS[role]


def test_every_named_permission_exists() -> None:
    wanted = frozenset[str]().union(*PERMISSIONS.values())
    found = Permission.objects.filter(codename__in=wanted)
    assert set(found.values_list("codename", flat=True)) == wanted


def from_the_person(admin: User) -> None:
    admin.groups.remove(Group.objects.get(name=Role.ADMIN.value))


def from_the_group(admin: User) -> None:
    Group.objects.get(name=Role.ADMIN.value).user_set.remove(admin)


def of_the_person(admin: User) -> None:
    admin.groups.clear()


def of_the_group(admin: User) -> None:
    Group.objects.get(name=Role.ADMIN.value).user_set.clear()


def of_superuser(admin: User) -> None:
    User.objects.filter(pk=admin.pk).update(is_superuser=True)
    loaded = User.objects.get(pk=admin.pk)
    loaded.is_superuser = False
    loaded.save()


@pytest.mark.parametrize(
    "take",
    [from_the_person, from_the_group, of_the_person, of_the_group, of_superuser],
)
def test_taken_group_ends_the_sessions_however_it_is_taken(
    client: Client, admin: User, take: Callable[[User], None]
) -> None:
    session, other = open_session(client, admin), begin("u-2")
    take(admin)
    assert [is_live(session), is_live(other)] == [False, True]


def test_taken_permission_of_ones_own_ends_the_sessions(
    client: Client, user: User
) -> None:
    permission = Permission.objects.get(codename="view_livesession")
    user.user_permissions.add(permission)
    session = open_session(client, user)
    user.user_permissions.remove(permission)
    assert not is_live(session)


def test_login_without_the_provider_is_refused_and_signs_nobody_in(
    client: Client, user: User
) -> None:
    """Any code of Django or a library that calls `login()` comes by here."""
    with pytest.raises(PermissionDenied):
        client.force_login(user)
    assert live.count() == 0
    assert client.get("/").status_code == 302


@pytest.mark.parametrize("password", ["", "x", None])
def test_no_password_signs_anybody_in(user: User, password: str | None) -> None:
    for name in (user.username, user.identity):
        assert authenticate(username=name, password=password) is None


def test_group_that_was_never_had_ends_nothing(client: Client, user: User) -> None:
    session = open_session(client, user)
    user.groups.remove(Group.objects.get(name=Role.ADMIN.value))
    user.groups.clear()
    assert is_live(session)


def test_added_group_ends_nothing(client: Client, user: User) -> None:
    session = open_session(client, user)
    user.groups.add(Group.objects.get(name=Role.AUDITOR.value))
    assert is_live(session)


def recorded(user: User) -> list[str]:
    found = AuditEntry.objects.filter(event="rights:changed", subject=user.username)
    return [entry.reason for entry in found.order_by("pk")]


def test_rights_given_and_taken_by_hand_are_recorded(user: User) -> None:
    group = Group.objects.get(name=Role.ADMIN.value)
    user.groups.add(group)
    group.user_set.remove(user)
    assert recorded(user) == ["given by hand", "taken by hand"]


def test_change_of_the_account_itself_is_recorded(user: User) -> None:
    user = User.objects.get(pk=user.pk)
    user.is_superuser = True
    user.save()
    user.name = "Another"
    user.save()
    assert recorded(user) == ["changed in the account itself"]
