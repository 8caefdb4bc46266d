from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

from accounts.profile import StaffProfile

SESSION_KEY = "sign_in"


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
    address: str = ""
    agent: str = ""

    def seen_from(self, address: str, agent: str) -> Self:
        return replace(self, address=address, agent=agent)

    def to_session(self) -> dict[str, Any]:
        return {
            "provider": self.provider,
            "sid": self.sid,
            "authenticated_at": self.authenticated_at,
            "id_token": self.id_token,
            "address": self.address,
            "agent": self.agent,
        }
