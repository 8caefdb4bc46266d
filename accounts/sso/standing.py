"""What the company's word makes of a person here: the same at sign-in and between.

Every decision is by lists that name who may; a list that is empty names nobody.
"""

from __future__ import annotations

from collections.abc import Collection

from django.conf import settings
from django.contrib.auth.models import Group

from accounts import audit
from accounts.models import User
from accounts.profile import StaffProfile
from accounts.rights import Role
from accounts.sessions import live


def hold(user: User, profile: StaffProfile, keep: str | None) -> None:
    """Makes the person what their profile says they are, up or down.

    Whatever they have open but `keep` ends with a role that is lost; raises
    SessionStoreError. One by one: to end the person as of now would end a sign-in that
    is under way as well, since it started before now.
    """
    roles = roles_of(profile)
    if roles_held(user) - roles:
        others = {each.id for each in live.of_person(user.issuer, user.sub)} - {keep}
        if others:
            live.end(sorted(others), by="provider", reason="rights taken")
    set_roles(user, roles)


def roles_of(profile: StaffProfile) -> frozenset[Role]:
    """What this person is at the security desk, by ADMIN_GROUPS and its like."""
    lists = {
        Role.ADMIN: settings.ADMIN_GROUPS,
        Role.OPERATOR: settings.OPERATOR_GROUPS,
        Role.AUDITOR: settings.AUDITOR_GROUPS,
    }
    return frozenset(
        role for role, groups in lists.items() if profile.belongs_to(groups)
    )


def roles_held(user: User) -> frozenset[Role]:
    """What this person is at the desk until somebody says otherwise."""
    names = user.groups.filter(name__in=list(Role)).values_list("name", flat=True)
    return frozenset(map(Role, names))


def set_roles(user: User, roles: Collection[Role]) -> None:
    """Makes these the person's roles, up or down, and records a change.

    What the person has open is for the caller to end.
    """
    held, is_staff = roles_held(user), bool(roles)
    if held == roles and user.is_staff == is_staff:
        return
    # Not by `add`, `remove` or `save`: their receivers take it for somebody's hand, and
    # end the whole person.
    for role in set(roles) - held:
        group, _ = Group.objects.get_or_create(name=role.value)
        User.groups.through.objects.get_or_create(user=user, group=group)
    taken = [role.value for role in held - set(roles)]
    User.groups.through.objects.filter(user=user, group__name__in=taken).delete()
    User.objects.filter(pk=user.pk).update(is_staff=is_staff)
    user.is_staff = is_staff
    user.rights_as_loaded = user.rights
    audit.record(
        audit.Event.RIGHTS_CHANGED,
        actor="provider",
        subject=user.username,
        details={"roles": sorted(roles), "before": sorted(held)},
    )
