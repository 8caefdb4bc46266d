from __future__ import annotations

from django.contrib import admin

from accounts.desk.read_only import ReadOnlyAdmin
from accounts.models import User


@admin.register(User)
class UserAdmin(ReadOnlyAdmin):
    list_display = ("name", "username", "email", "department", "is_staff")
    list_filter = ("is_staff", "department")
    search_fields = ("name", "username", "email", "=sub")
    fields = (
        "name",
        "username",
        "email",
        "department",
        "issuer",
        "sub",
        "is_staff",
        "date_joined",
        "last_login",
    )
