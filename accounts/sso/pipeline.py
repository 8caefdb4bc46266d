"""From the provider's answer to a signed-in person, one decision a step.

Nobody gets an account before it is certain that they may have one.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group
from social_core.exceptions import AuthResponseError

from accounts import audit
from accounts.models import User
from accounts.profile import StaffProfile
from accounts.rights import SECURITY_ADMINS
from accounts.sessions import live
from accounts.sso.errors import Kind, SignInRefused
from accounts.sso.sign_in import SignIn

MAX_TEXT = 255


def read_profile(
    backend: Any, response: dict[str, Any], groups: list[str] | None, **kwargs: Any
) -> dict[str, Any]:
    """What the company says about this person, from UserInfo and PROFILE_URL.

    Groups that are missing, of another type or truncated refuse the sign-in
    (social_core.groups); empty means "in none", never "in all".
    """
    sub = backend.id_token["sub"]
    if settings.PROFILE_URL:
        response = {**response, **backend.company_profile(response["access_token"])}
        groups = backend.get_user_groups(response)
    email = _text(response, "email")
    username = _text(response, "preferred_username") or email or sub
    return {
        "profile": StaffProfile(
            issuer=settings.OIDC_ISSUER,
            sub=sub,
            username=username,
            name=_text(response, "name") or username,
            email=email,
            department=_text(response, "department"),
            groups=tuple(groups or ()),
        )
    }


def admit_staff(backend: Any, profile: StaffProfile, **kwargs: Any) -> None:
    """Refuses whoever is in none of STAFF_GROUPS, and whose account is disabled.

    What such a person still has open elsewhere ends now.
    """
    identity = User.identity_of(profile.issuer, profile.sub)
    user = User.objects.filter(identity=identity).first()
    if not profile.belongs_to(settings.STAFF_GROUPS):
        if user:
            live.end_person(user, by="provider", reason="no longer staff")
        raise SignInRefused(backend, Kind.NOT_STAFF, profile.username)
    if user and not user.is_active:
        raise SignInRefused(backend, Kind.INACTIVE, profile.username)


def enter_user(backend: Any, profile: StaffProfile, **kwargs: Any) -> dict[str, Any]:
    """Finds or makes the account of (issuer, sub), and sets its rights, up or down."""
    if len(profile.sub) > MAX_TEXT:
        raise AuthResponseError(
            backend, claim="sub", code="invalid_claim", stage="pipeline"
        )
    user, _ = User.objects.enter(profile)
    _set_rights(user, profile.belongs_to(settings.ADMIN_GROUPS))
    return {"user": user}


def attach_sign_in(
    backend: Any,
    user: User,
    profile: StaffProfile,
    tokens: dict[str, Any],
    **kwargs: Any,
) -> None:
    """Leaves what the session needs on the user object.

    The session itself is made after the pipeline, by Django's `user_logged_in`:
    whatever a step writes into the session now, `login()` may throw away.
    """
    claims = backend.id_token
    user.sign_in = SignIn(  # type: ignore[attr-defined]
        profile=profile,
        provider=backend.name,
        sid=claims.get("sid") if isinstance(claims.get("sid"), str) else None,
        authenticated_at=claims.get("auth_time") or claims["iat"],
        id_token=tokens["id_token"],
        started=backend.started,
    )


def _set_rights(user: User, is_admin: bool) -> None:
    group, _ = Group.objects.get_or_create(name=SECURITY_ADMINS)
    if user.is_staff == is_admin:
        return
    user.is_staff = is_admin
    user.save(update_fields=["is_staff"])
    (user.groups.add if is_admin else user.groups.remove)(group)
    audit.record(
        audit.Event.RIGHTS_CHANGED,
        actor="provider",
        subject=user.username,
        details={"security_admin": is_admin},
    )


def _text(response: dict[str, Any], claim: str) -> str:
    value = response.get(claim)
    return value[:MAX_TEXT] if isinstance(value, str) else ""
