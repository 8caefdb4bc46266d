"""Who may do what at the security desk, in Django's own groups and permissions."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from django.apps import AppConfig
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Group, Permission


class Role(StrEnum):
    """What a person can be at the desk; the values are the names of Django's groups."""

    ADMIN = "Security admins"
    OPERATOR = "Desk operators"
    AUDITOR = "Auditors"


PERMISSIONS: Mapping[Role, frozenset[str]] = {
    Role.ADMIN: frozenset(
        {
            "view_livesession",
            "end_livesession",
            "end_livesessions_in_bulk",
            "view_auditentry",
            "view_user",
            "view_suspension",
            "suspend_person",
        }
    ),
    # To end a session is undone by signing in again; a suspension lasts, so an operator
    # sees it and a security admin decides it.
    Role.OPERATOR: frozenset(
        {"view_livesession", "end_livesession", "view_user", "view_suspension"}
    ),
    Role.AUDITOR: frozenset({"view_auditentry", "view_user", "view_suspension"}),
}


def grant(sender: AppConfig, **kwargs: Any) -> None:
    """After `migrate`: the group of each role has its permissions, and no others."""
    # Django makes them in a receiver of the same signal, which may run after us.
    create_permissions(sender, verbosity=0)
    ours = Permission.objects.filter(content_type__app_label=sender.label)
    for role, names in PERMISSIONS.items():
        group, _ = Group.objects.get_or_create(name=role.value)
        group.permissions.set(ours.filter(codename__in=names))


class GroupPermissions(ModelBackend):
    """Django's permissions by group, without its password door."""

    def authenticate(self, *args: Any, **kwargs: Any) -> None:
        return None

    def get_user(self, user_id: Any) -> None:
        return None
