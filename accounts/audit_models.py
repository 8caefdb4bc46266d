from __future__ import annotations

import uuid
from typing import Any, ClassVar, NoReturn

from django.db import models
from django.utils.translation import gettext_lazy as _


class NeverChanged(TypeError):
    """An audit entry was to be changed or deleted. Triggers in SQL say the same."""


class AppendOnlyQuerySet(models.QuerySet["AuditEntry"]):
    """Reads, and adds by `bulk_create` for accounts.audit.writing alone."""

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise NeverChanged("audit entries are never changed")

    update = delete = bulk_update = _refuse
    create = get_or_create = update_or_create = _refuse


class AuditEntry(models.Model):
    """Who signed in, who was ended, by whom and why. Written, never changed.

    The primary key is the place in the chain: 1, 2, 3, without a gap.
    """

    at = models.DateTimeField(_("time"), db_index=True)
    event = models.CharField(_("event"), max_length=64, db_index=True)
    actor = models.CharField(_("by"), max_length=255, blank=True, db_index=True)
    subject = models.CharField(_("whom"), max_length=255, blank=True, db_index=True)
    session_id = models.CharField(
        _("session"), max_length=24, blank=True, db_index=True
    )
    address = models.GenericIPAddressField(_("from"), null=True, blank=True)
    reason = models.CharField(_("reason"), max_length=500, blank=True)
    details = models.JSONField(_("details"), default=dict, blank=True)
    request_id = models.CharField(_("request"), max_length=64, blank=True)
    # Made with the entry, so that one that is written late is not written twice.
    reference = models.UUIDField(_("reference"), default=uuid.uuid4, unique=True)
    previous = models.CharField(_("hash of the entry before"), max_length=64)
    hash = models.CharField(_("hash"), max_length=64)
    key = models.CharField(max_length=8)
    seal = models.CharField(max_length=64)

    objects: ClassVar[AppendOnlyQuerySet] = AppendOnlyQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ("-pk",)
        # Not db_index above: SQLite would make the table anew, without its triggers.
        indexes = (
            models.Index(fields=["address"], name="audit_by_address"),
            models.Index(fields=["request_id"], name="audit_by_request"),
        )
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit entries")

    def __str__(self) -> str:
        return f"{self.event} {self.subject}"

    def save(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise NeverChanged("audit entries are made by accounts.audit.record")

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise NeverChanged("audit entries are never deleted")
