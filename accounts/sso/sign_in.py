from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

from accounts import profile
from accounts.profile import StaffProfile
from accounts.sso import refresh_token
from accounts.sso.refresh_token import RefreshToken

SESSION_KEY = "sign_in"
# Characters of an ID token that is sent back as a hint. Web servers take addresses of
# 8 kB, and a sign-out must not end on a page that says so; without the hint the
# provider asks the person.
MAX_HINT = 6000


@dataclass(frozen=True, slots=True)
class SignIn:
    """One sign-in: who, through whom, when, from where.

    `started` is when the browser was sent to the provider, by our clock. `sid` is the
    provider's own session; `authenticated_at` is when the person proved who they are,
    in seconds since the epoch, None when the provider did not say; the ID token is
    kept, under the seal, only to tell the provider at sign-out which session is meant.
    """

    profile: StaffProfile
    provider: str
    sid: str | None
    authenticated_at: int | None
    id_token: str
    started: int
    refresh_token: RefreshToken | None = None
    address: str = ""
    agent: str = ""

    def seen_from(self, address: str, agent: str) -> Self:
        return replace(self, address=address, agent=agent)

    def contents(self) -> dict[str, Any]:
        """All that a session holds of a sign-in, by the keys it stands under."""
        token = self.refresh_token
        return {
            profile.SESSION_KEY: self.profile.to_session(),
            SESSION_KEY: self.to_session(),
            # Also when there is none: an earlier one would no longer be good.
            refresh_token.SESSION_KEY: token.to_session() if token else None,
        }

    def to_session(self) -> dict[str, Any]:
        return {
            "provider": self.provider,
            "sid": self.sid,
            "authenticated_at": self.authenticated_at,
            "id_token": self.id_token,
            "address": self.address,
            "agent": self.agent,
        }
