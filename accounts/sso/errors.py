"""
SocialAuthBaseException (social-auth)
 └── SignInRefused        the provider vouches for the person, we do not let them in
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from social_core.exceptions import (
    AuthAssociationError,
    AuthCanceled,
    AuthCredentialError,
    AuthInputError,
    AuthPolicyError,
    AuthProviderError,
    AuthResponseError,
    AuthSessionError,
    SocialAuthBaseException,
)


class Kind(StrEnum):
    """What a person is told; each has words of its own on the page."""

    NOT_STAFF = "not-staff"
    SUSPENDED = "suspended"
    TOO_MANY = "too-many-sessions"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    PROVIDER_DOWN = "provider-down"
    PROVIDER_ANSWER = "provider-answer"
    STEP_UP_LOOP = "step-up-loop"
    OTHER = "other"


class SignInRefused(AuthPolicyError):
    """Somebody the provider knows, but who may not sign in here."""

    def __init__(self, backend: Any, kind: Kind, subject: str) -> None:
        super().__init__(backend, stage="pipeline")
        self.kind = kind
        self.subject = subject


# The first that fits. A provider that is away is one thing, one that answers what we
# cannot use another: the person is told to wait, or to tell somebody.
_BY_CODE: dict[str, tuple[Kind, int]] = {
    "response_expired": (Kind.EXPIRED, 403),
    "nonce_mismatch": (Kind.EXPIRED, 403),
    "authorization_code_rejected": (Kind.EXPIRED, 403),
    "timeout": (Kind.PROVIDER_DOWN, 504),
    "http_error": (Kind.PROVIDER_ANSWER, 502),
}
_BY_FAMILY: tuple[tuple[type[Exception], Kind, int], ...] = (
    (AuthCanceled, Kind.CANCELLED, 403),
    (AuthSessionError, Kind.EXPIRED, 403),
    (AuthInputError, Kind.OTHER, 400),
    (AuthProviderError, Kind.PROVIDER_DOWN, 502),
    (AuthResponseError, Kind.PROVIDER_ANSWER, 502),
    (AuthCredentialError, Kind.PROVIDER_ANSWER, 502),
    (AuthPolicyError, Kind.OTHER, 403),
    (AuthAssociationError, Kind.OTHER, 409),
)


def kind_and_status(error: SocialAuthBaseException) -> tuple[Kind, int]:
    """What to tell the person about this failure, and the status to tell it with.

    What is wrong with this site itself, as a client secret that the provider does not
    know, is a 500: somebody must be woken.
    """
    if isinstance(error, SignInRefused):
        return error.kind, 403
    if error.code in _BY_CODE:
        return _BY_CODE[error.code]
    for family, kind, status in _BY_FAMILY:
        if isinstance(error, family):
            return kind, status
    return Kind.OTHER, 500
