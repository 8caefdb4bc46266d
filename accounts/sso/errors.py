"""
SocialAuthBaseException (social-auth)
 └── SignInRefused        the provider vouches for the person, we do not let them in
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from social_core.exceptions import (
    AuthCanceled,
    AuthConfigurationError,
    AuthPolicyError,
    AuthProviderError,
    AuthResponseError,
    AuthSessionError,
    SocialAuthBaseException,
)


class Kind(StrEnum):
    """What a person is told; each has words of its own on the page."""

    NOT_STAFF = "not-staff"
    INACTIVE = "inactive"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    PROVIDER_DOWN = "provider-down"
    PROVIDER_ANSWER = "provider-answer"
    OTHER = "other"


class SignInRefused(AuthPolicyError):
    """Somebody the provider knows, but who may not sign in here."""

    def __init__(self, backend: Any, kind: Kind, subject: str) -> None:
        super().__init__(backend, stage="pipeline")
        self.kind = kind
        self.subject = subject


_KINDS: tuple[tuple[type[Exception], Kind, int], ...] = (
    (AuthConfigurationError, Kind.OTHER, 500),
    (AuthCanceled, Kind.CANCELLED, 403),
    (AuthSessionError, Kind.EXPIRED, 403),
    (AuthProviderError, Kind.PROVIDER_DOWN, 502),
    (AuthResponseError, Kind.PROVIDER_ANSWER, 502),
)


def kind_and_status(error: SocialAuthBaseException) -> tuple[Kind, int]:
    """What to tell the person about this failure, and the status to tell it with."""
    if isinstance(error, SignInRefused):
        return error.kind, 403
    if error.code in {"response_expired", "nonce_mismatch"}:
        return Kind.EXPIRED, 403
    if error.code in {"authorization_code_rejected"}:
        return Kind.EXPIRED, 403
    for family, kind, status in _KINDS:
        if isinstance(error, family):
            return kind, status
    return Kind.OTHER, 403
