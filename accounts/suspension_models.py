from __future__ import annotations

from typing import ClassVar, Self

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

_NOT_OVER = models.Q(until=None) | models.Q(until__gt=Now())


class SuspensionQuerySet(models.QuerySet["Suspension"]):
    """Suspensions by person and by state.

    Whether one is over is decided by the database's clock: hosts whose clocks differ
    must not differ about who may sign in.
    """

    def of_person(self, issuer: str, sub: str, email: str = "") -> Self:
        """Those of (issuer, sub), and those that know the person by e-mail alone."""
        # An empty value names nobody, and every row has one that is empty.
        by_sub = models.Q(sub=sub) & ~models.Q(sub="")
        by_email = models.Q(sub="", email=email.lower()) & ~models.Q(email="")
        return self.filter(by_sub | by_email, issuer=issuer)

    def in_effect(self) -> Self:
        """Those neither lifted nor over."""
        return self.filter(_NOT_OVER, lifted_at=None)

    def over(self) -> Self:
        """Those whose time has come and that nobody has noted as lifted yet."""
        return self.filter(lifted_at=None, until__lte=Now())


class Suspension(models.Model):
    """A decision that a person may not sign in, until it is lifted or its time comes.

    A row is never changed but for what is learnt later: the person's `sub`, and how
    the suspension ended. Somebody suspended twice has two rows and is free when
    neither is in effect.
    """

    MAX_REASON = 500

    issuer = models.CharField(_("issuer"), max_length=255)
    # Empty until somebody who is known by e-mail alone comes to sign in.
    sub = models.CharField(_("subject"), max_length=255, blank=True)
    # In lower case; decides only as long as `sub` is empty.
    email = models.EmailField(_("e-mail"), blank=True)
    # What people call the person: the user name where there is one.
    name = models.CharField(_("user name"), max_length=255)
    reason = models.CharField(_("reason"), max_length=MAX_REASON)
    by = models.CharField(_("suspended by"), max_length=255)
    since = models.DateTimeField(_("since"), auto_now_add=True)
    until = models.DateTimeField(_("until"), null=True)
    lifted_at = models.DateTimeField(_("lifted"), null=True)
    # Empty when it ended at its time.
    lifted_by = models.CharField(_("lifted by"), max_length=255, blank=True)
    lifted_reason = models.CharField(
        _("reason for lifting it"), max_length=MAX_REASON, blank=True
    )

    objects: ClassVar[SuspensionQuerySet] = SuspensionQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ("-pk",)
        indexes = (
            models.Index(fields=("issuer", "sub"), name="suspension_by_sub"),
            models.Index(fields=("issuer", "email"), name="suspension_by_email"),
        )
        default_permissions = ("view",)
        permissions = (("suspend_person", "Can suspend people and lift suspensions"),)
        verbose_name = _("suspension")
        verbose_name_plural = _("suspensions")

    def __str__(self) -> str:
        return self.name
