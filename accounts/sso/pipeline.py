"""From the provider's answer to a signed-in person, one decision a step.

Nobody gets an account before it is certain that they may have one.
"""

from __future__ import annotations

import json
import logging
import time
from typing import Any

from django.conf import settings
from social_core.exceptions import AuthResponseError

from accounts import suspension
from accounts.models import User
from accounts.profile import StaffProfile
from accounts.sessions import clock, live
from accounts.sso import standing
from accounts.sso.claims import is_moment, laid_over, readable, verified_domain
from accounts.sso.errors import Kind, SignInRefused
from accounts.sso.refresh_token import RefreshToken
from accounts.sso.sign_in import MAX_HINT, SignIn

log = logging.getLogger(__name__)

MAX_TEXT = 255
MAX_ADDRESS = 254
# Of all groups together, as a session holds them: some thousand names.
MAX_GROUPS_BYTES = 24 * 1024
WARN_SECONDS = 3600

# When each provider was last warned of, by this process.
_warned_without_sid: dict[str, float] = {}


def read_profile(
    backend: Any,
    response: dict[str, Any],
    groups: list[str] | None,
    **kwargs: Any,
) -> dict[str, Any]:
    """What the company says about this person: PROFILE_URL, UserInfo, the ID token.

    `said` is all of it, the first of them first.

    Groups that are missing, of another type or truncated refuse the sign-in
    (social_core.groups); empty means "in none", never "in all".
    """
    sub = backend.id_token["sub"]
    kept = backend.provider.groups(groups or ())
    if len(json.dumps(kept, ensure_ascii=False).encode()) > MAX_GROUPS_BYTES:
        # No session could hold them, and some of them would be truncated ones.
        raise AuthResponseError(
            backend, claim="groups", code="invalid_claim", stage="user_info"
        )
    said = laid_over(backend.id_token, response)
    email = _address(said.get("email"))
    username = readable(said.get("preferred_username"), MAX_TEXT) or email or sub
    return {
        "said": said,
        "profile": StaffProfile(
            issuer=backend.provider.issuer,
            sub=sub,
            username=username,
            name=readable(said.get("name"), MAX_TEXT) or username,
            email=email,
            department=readable(said.get("department"), MAX_TEXT),
            groups=kept,
        ),
    }


def admit_staff(
    backend: Any, profile: StaffProfile, said: dict[str, Any], **kwargs: Any
) -> None:
    """Refuses who is in neither STAFF_GROUPS nor STAFF_DOMAINS, or is suspended.

    What such a person still has open elsewhere ends now. Whoever is suspended after
    this is refused by `suspension.check`, when the session is written.
    """
    identity = User.identity_of(profile.issuer, profile.sub)
    user = User.objects.filter(identity=identity).first()
    is_staff = profile.belongs_to(settings.STAFF_GROUPS) or (
        backend.provider.has_domain_of(said)
    )
    if not is_staff:
        if user:
            live.end_person(user, by="provider", reason="no longer staff")
        raise SignInRefused(backend, Kind.NOT_STAFF, profile.username)
    if suspension.current(profile.issuer, profile.sub, profile.email):
        if verified_domain(said):
            suspension.learn(profile)
        if user:
            live.end_person(user, by="system", reason="suspended")
        raise SignInRefused(backend, Kind.SUSPENDED, profile.username)


def enter_user(backend: Any, profile: StaffProfile, **kwargs: Any) -> dict[str, Any]:
    """Finds or makes the account of (issuer, sub), and sets its rights, up or down."""
    user, _ = User.objects.enter(profile)
    # The browser's own session is about to be replaced.
    standing.hold(user, profile, keep=backend.strategy.session.session_id)
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
    if backend.provider.frontchannel_logout and "sid" not in claims:
        _warn_without_sid(backend.name)
    user.sign_in = SignIn(  # type: ignore[attr-defined]
        profile=profile,
        provider=backend.name,
        sid=claims.get("sid"),
        authenticated_at=_proved_at(backend, claims.get("auth_time")),
        # One that is too long to be sent as a hint would only fill the store.
        id_token=tokens["id_token"] if len(tokens["id_token"]) <= MAX_HINT else "",
        started=backend.begun_at,
        refresh_token=_refresh_token(backend, tokens),
    )


def _warn_without_sid(provider: str) -> None:
    """Logs that no front-channel logout will find the sessions of this provider.

    At most once an hour for each provider and process: it is true of every sign-in.
    """
    now = clock.now()
    if now - _warned_without_sid.get(provider, float("-inf")) < WARN_SECONDS:
        return
    _warned_without_sid[provider] = now
    log.warning("frontchannel_logout_no_sid provider=%s", provider)


def forget() -> None:
    """Starts anew, as a new process does."""
    _warned_without_sid.clear()


def _refresh_token(backend: Any, tokens: dict[str, Any]) -> RefreshToken | None:
    """The one to ask again with; none is kept when nothing would use it."""
    if not (after := backend.provider.renew_seconds):
        return None
    found = RefreshToken.given(tokens, clock.now() + after)
    if found is None:
        log.info("renewal_impossible provider=%s", backend.name)
    return found


def _proved_at(backend: Any, said: object) -> int | None:
    """When the person proved who they are, by the provider's word and our own clock."""
    now = time.time()
    if not is_moment(said) or said > now + settings.OIDC_LEEWAY_SECONDS:
        return None
    # At a step-up it was after we asked, whatever the provider's clock makes of that.
    earliest = backend.started if backend.stepping_up_to else 0
    age = now - min(max(said, earliest), now)
    # By the clock that it will be held against, which is never set back.
    return int(clock.now() - age)


def _address(claim: object) -> str:
    # Half an address would be somebody else's.
    text = readable(claim, MAX_TEXT)
    return text if len(text) <= MAX_ADDRESS else ""
