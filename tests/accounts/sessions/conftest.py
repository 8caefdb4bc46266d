from __future__ import annotations

from accounts import keys
from accounts.sessions.store import SessionStore

ISSUER = "https://idp.example"
PROFILE = {
    "issuer": ISSUER,
    "sub": "u-1001",
    "username": "haneul",
    "name": "김하늘",
    "email": "haneul@example.com",
    "department": "Support",
    "groups": ["staff", "support"],
}


def begin(sub: str = "u-1001", sid: str | None = None) -> SessionStore:
    """A live session, stored and listed."""
    session = SessionStore()
    session.begin(
        {"profile": {**PROFILE, "sub": sub}, "sign_in": {"provider": "oidc"}},
        person=keys.person(ISSUER, sub),
        origin=keys.origin(ISSUER, sid) if sid else None,
    )
    session.save()
    return session


def again(session: SessionStore) -> SessionStore:
    """The same browser's next request."""
    return SessionStore(session.session_key)


def is_live(session: SessionStore) -> bool:
    """Whether the same cookie would still open a session."""
    return again(session).record is not None
