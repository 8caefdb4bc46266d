"""Who may do what at the security desk, in Django's own groups and permissions."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Group, Permission

SECURITY_ADMINS = "Security admins"
_PERMISSIONS = ("view_livesession", "end_livesession", "view_auditentry", "view_user")


def grant(sender: AppConfig, **kwargs: Any) -> None:
    """After `migrate`: the group of security admins has its permissions."""
    # Django makes them in a receiver of the same signal, which may run after us.
    create_permissions(sender, verbosity=0)
    group, _ = Group.objects.get_or_create(name=SECURITY_ADMINS)
    found = Permission.objects.filter(
        content_type__app_label=sender.label, codename__in=_PERMISSIONS
    )
    group.permissions.set(found)


class GroupPermissions(ModelBackend):
    """Django's permissions by group, without its password door."""

    def authenticate(self, *args: Any, **kwargs: Any) -> None:
        return None

    def get_user(self, user_id: Any) -> None:
        return None
