from __future__ import annotations

from django.contrib import admin

from accounts.desk.read_only import ReadOnlyAdmin
from accounts.models import AuditEntry


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    list_display = (
        "at",
        "event",
        "actor",
        "subject",
        "session_id",
        "address",
        "reason",
    )
    list_filter = ("event",)
    search_fields = ("=subject", "=actor", "=session_id")
    date_hierarchy = "at"
