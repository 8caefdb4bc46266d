from __future__ import annotations

import hashlib
import uuid
from typing import Any, ClassVar, Self

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, PermissionsMixin
from django.core import signing
from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts import keys, places
from accounts.audit_models import AuditEntry
from accounts.profile import StaffProfile
from accounts.suspension_models import Suspension

__all__ = [
    "AuditEntry",
    "LiveSession",
    "Revocation",
    "SeenDevice",
    "Suspension",
    "User",
]


class UserManager(models.Manager["User"]):
    """Accounts are found by (issuer, sub) and by nothing else that signs in."""

    def get_by_natural_key(self, identity: str) -> User:
        return self.get(identity=identity)

    def enter(self, profile: StaffProfile) -> tuple[User, bool]:
        """The account of this person at this issuer, made if need be; and whether."""
        return self.update_or_create(
            identity=User.identity_of(profile.issuer, profile.sub),
            defaults={
                "username": profile.username,
                "name": profile.name,
                "email": profile.email,
                "department": profile.department,
            },
            create_defaults={
                "issuer": profile.issuer,
                "sub": profile.sub,
                "username": profile.username,
                "name": profile.name,
                "email": profile.email,
                "department": profile.department,
            },
        )

    def named(self, name: str) -> models.QuerySet[User]:
        """Everyone whose user name, e-mail address or `sub` is this."""
        return self.filter(
            models.Q(username__iexact=name)
            | models.Q(email__iexact=name)
            | models.Q(sub=name)
        ).order_by("pk")

    def containing(self, text: str) -> models.QuerySet[User]:
        """Everyone whose names or e-mail contain this, or whose `sub` it is."""
        return self.filter(
            models.Q(name__icontains=text)
            | models.Q(username__icontains=text)
            | models.Q(email__icontains=text)
            | models.Q(sub=text)
        ).order_by("pk")


class User(AbstractBaseUser, PermissionsMixin):
    """A staff member's account: what outlives a session.

    There is no password to know or to lose. `is_staff` is Django's word for "may
    enter the admin", which here is the security desk; what for, the groups say. An
    account is never inactive to Django: who may not sign in has a `Suspension`.
    """

    password = None  # type: ignore[assignment]
    identity = models.CharField(max_length=64, unique=True, editable=False)
    issuer = models.CharField(_("issuer"), max_length=255, editable=False)
    sub = models.CharField(_("subject"), max_length=255, editable=False)
    username = models.CharField(_("user name"), max_length=255, db_index=True)
    name = models.CharField(_("name"), max_length=255)
    email = models.EmailField(_("e-mail"), blank=True, db_index=True)
    department = models.CharField(_("department"), max_length=255, blank=True)
    is_staff = models.BooleanField(_("security desk"), default=False, editable=False)
    date_joined = models.DateTimeField(_("first sign-in"), auto_now_add=True)

    objects: ClassVar[UserManager] = UserManager()
    rights_as_loaded: tuple[bool, ...] = ()

    USERNAME_FIELD = "identity"
    EMAIL_FIELD = "email"

    class Meta:
        verbose_name = _("staff member")
        verbose_name_plural = _("staff members")

    def __str__(self) -> str:
        return self.name or self.username

    def get_full_name(self) -> str:
        return self.name

    def get_short_name(self) -> str:
        return self.name

    @classmethod
    def from_db(cls, *args: Any, **kwargs: Any) -> Self:
        """Remembers the rights, to notice at `save` when one was taken."""
        user = super().from_db(*args, **kwargs)
        if not user.get_deferred_fields():
            user.rights_as_loaded = user.rights
        return user

    @property
    def rights(self) -> tuple[bool, ...]:
        """What stands in the row itself; the rest is in groups and permissions."""
        return (self.is_staff, self.is_superuser)

    def has_lost_rights(self) -> bool:
        """Whether the account lost since it was loaded what it had."""
        both = zip(self.rights_as_loaded, self.rights, strict=False)
        return any(had and not has for had, has in both)

    @staticmethod
    def identity_of(issuer: str, sub: str) -> str:
        """One name for (issuer, sub), of one length whatever providers send."""
        return hashlib.sha256(f"{issuer}\0{sub}".encode()).hexdigest()

    def get_session_auth_hash(self) -> str:
        """Binds a session to the identity: there is no password that could change.

        Not keyed by SECRET_KEY, so rotating the secret leaves sessions where they are.
        """
        return self.identity

    def _get_session_auth_hash(self, secret: Any = None) -> str:
        return self.identity


class Revocation(models.Model):
    """The ledger: one kill, or other end, that the store must never forget."""

    class Kind(models.TextChoices):
        SESSION = "session", _("one session")
        PERSON = "person", _("all sessions of a person")
        ORIGIN = "origin", _("a session of the provider")
        EVERYONE = "everyone", _("everyone")
        # Ended by its own person: signed out, or moved to another key.
        LEFT = "left", _("a session that was left")

    ONE = (Kind.SESSION, Kind.LEFT)
    NAMED = (Kind.PERSON, Kind.ORIGIN)

    # Made by whoever kills, so that one written late is not written twice.
    reference = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    # A session id, or "issuer<newline>sub" or "issuer<newline>sid".
    target = models.CharField(max_length=600, blank=True)
    before = models.DateTimeField()
    matters_until = models.DateTimeField(db_index=True)
    # False while the store may not know of it yet.
    delivered = models.BooleanField(default=False, db_index=True)
    by = models.CharField(max_length=255)
    reason = models.CharField(max_length=500, blank=True)
    written = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("pk",)
        verbose_name = _("kill")
        verbose_name_plural = _("kills")

    def __str__(self) -> str:
        return f"{self.kind} {self.before:%Y-%m-%d %H:%M:%S}"

    def targets(self) -> list[str]:
        """The names of the index entries this kill is about."""
        issuer, _, name = self.target.partition("\n")
        named = keys.people if self.kind == self.Kind.PERSON else keys.origins
        return named(issuer, name)


class LiveSample(models.Model):
    """How many sessions were live at a moment."""

    at = models.DateTimeField(unique=True)
    live = models.PositiveIntegerField()

    class Meta:
        ordering = ("at",)

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.live}"


class SeenDevice(models.Model):
    """A kind of device that a person has signed in with."""

    MAX_KIND = 120
    SALT = "accounts.new-device"

    user = models.ForeignKey(User, models.CASCADE, related_name="devices")
    kind = models.CharField(max_length=MAX_KIND)
    address = models.GenericIPAddressField(null=True)
    session_id = models.CharField(max_length=24)
    first_seen = models.DateTimeField(auto_now_add=True)
    last_seen = models.DateTimeField()
    # Whether the person has said that they know it.
    is_answered = models.BooleanField(default=False)

    class Meta:
        ordering = ("-first_seen",)
        constraints = (
            models.UniqueConstraint(fields=("user", "kind"), name="one_row_a_device"),
        )

    def __str__(self) -> str:
        return self.kind

    @property
    def signed(self) -> str:
        """Which device a notice is about, for a response given while SQL is away."""
        told = [self.pk, self.user_id, self.kind, self.session_id, self.address]
        return signing.dumps(told, salt=self.SALT)

    @classmethod
    def from_signed(cls, text: str) -> SeenDevice | None:
        """The device that `signed` tells of, not from SQL; None for anything else."""
        try:
            told = signing.loads(
                text, salt=cls.SALT, max_age=settings.SESSION_ABSOLUTE_SECONDS
            )
        except signing.BadSignature:
            return None
        names = ("pk", "user_id", "kind", "session_id", "address")
        return cls(**dict(zip(names, told, strict=True)))

    @property
    def place(self) -> str:
        return str(places.in_words(self.address or ""))


class LiveSession(models.Model):
    """No table: sessions live in the store. A permission and a place in the admin."""

    class Meta:
        managed = False
        default_permissions = ("view",)
        permissions = (
            ("end_livesession", "Can end live sessions"),
            ("end_livesessions_in_bulk", "Can end live sessions in bulk"),
        )
        verbose_name = _("live session")
        verbose_name_plural = _("live sessions")

    def __str__(self) -> str:
        return str(self.pk)
