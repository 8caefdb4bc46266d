"""Rights at the desk, up and down, as the provider's groups say."""

from __future__ import annotations

import pytest
from pytest_django.fixtures import Settings

from accounts.models import AuditEntry, User
from accounts.profile import StaffProfile
from accounts.rights import PERMISSIONS, Role
from accounts.sso import standing
from backoffice.demo.provider import Provider
from tests.accounts.sso.person import ADMIN, SUPPORT, Person, move

ALL = PERMISSIONS[Role.ADMIN]


@pytest.fixture(autouse=True)
def lists(settings: Settings) -> None:
    settings.ADMIN_GROUPS = frozenset({"security-admins"})
    settings.OPERATOR_GROUPS = frozenset({"support"})
    settings.AUDITOR_GROUPS = frozenset({"finance", "auditors"})


def permissions(sub: str) -> set[str]:
    user = User.objects.get(sub=sub)
    return {name.removeprefix("accounts.") for name in user.get_all_permissions()}


def profile(*groups: str) -> StaffProfile:
    return StaffProfile("https://idp.example", "u-1", "u", "U", "", "", groups)


@pytest.mark.parametrize(
    ("groups", "roles"),
    [
        (["staff"], set()),
        (["security-admins"], {Role.ADMIN}),
        (["support", "auditors"], {Role.OPERATOR, Role.AUDITOR}),
        (["Security-Admins", "security-admins ", ""], set()),
    ],
)
def test_roles_follow_from_groups_by_exact_name(
    groups: list[str], roles: set[Role]
) -> None:
    assert standing.roles_of(profile(*groups)) == roles


def test_empty_list_makes_nobody_anything(settings: Settings) -> None:
    settings.ADMIN_GROUPS = settings.OPERATOR_GROUPS = frozenset()
    settings.AUDITOR_GROUPS = frozenset()
    assert standing.roles_of(profile("security-admins", "")) == set()


def test_security_admin_may_do_everything_at_the_desk(person: Person) -> None:
    person.sign_in(ADMIN)
    assert permissions(ADMIN) == ALL
    assert User.objects.get(sub=ADMIN).is_staff


def test_operator_may_end_sessions_and_not_read_the_audit(person: Person) -> None:
    person.sign_in(SUPPORT)
    assert permissions(SUPPORT) == PERMISSIONS[Role.OPERATOR]
    assert person.site.get("/admin/accounts/livesession/").status_code == 200
    assert person.site.get("/admin/accounts/auditentry/").status_code == 403


def test_auditor_may_read_the_audit_and_not_see_sessions(
    person: Person, idp: Provider
) -> None:
    move(idp, SUPPORT, "staff", "auditors")
    person.sign_in(SUPPORT)
    assert person.site.get("/admin/accounts/auditentry/").status_code == 200
    assert person.site.get("/admin/accounts/livesession/").status_code == 403


def test_two_roles_add_up(person: Person, idp: Provider) -> None:
    move(idp, SUPPORT, "staff", "support", "auditors")
    person.sign_in(SUPPORT)
    both = PERMISSIONS[Role.OPERATOR] | PERMISSIONS[Role.AUDITOR]
    assert permissions(SUPPORT) == both
    assert "end_livesessions_in_bulk" not in both


def test_rights_go_up_and_down_at_sign_in_and_are_recorded(
    person: Person, idp: Provider
) -> None:
    for groups in (["staff"], ["staff", "security-admins"], ["staff"]):
        move(idp, SUPPORT, *groups)
        person.sign_in(SUPPORT)
        wanted = ALL if "security-admins" in groups else set()
        assert permissions(SUPPORT) == wanted
        assert User.objects.get(sub=SUPPORT).is_staff == bool(wanted)
    changes = AuditEntry.objects.filter(event="rights:changed").order_by("pk")
    assert [change.details["roles"] for change in changes] == [["Security admins"], []]


def test_sign_in_that_changes_nothing_records_nothing(person: Person) -> None:
    person.sign_in(ADMIN)
    person.sign_in(ADMIN)
    assert AuditEntry.objects.filter(event="rights:changed").count() == 1


@pytest.mark.parametrize("groups", [["staff"], ["staff", "finance"]])
def test_lost_role_ends_the_other_sessions_at_once(
    person: Person, another: Person, idp: Provider, groups: list[str]
) -> None:
    """Also when another role is won in the same moment."""
    another.sign_in(SUPPORT)
    move(idp, SUPPORT, *groups)
    person.sign_in(SUPPORT)
    assert another.signed_in_as is None
    assert person.signed_in_as == SUPPORT


def test_won_role_leaves_the_other_sessions(
    person: Person, another: Person, idp: Provider
) -> None:
    another.sign_in(SUPPORT)
    move(idp, SUPPORT, "staff", "support", "security-admins")
    person.sign_in(SUPPORT)
    assert another.signed_in_as == SUPPORT
