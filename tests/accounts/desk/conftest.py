from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from accounts import keys
from accounts.models import User
from accounts.profile import StaffProfile
from accounts.sessions.store import SessionStore
from tests.accounts.sessions.conftest import ISSUER, PROFILE, admin, sign_in, user

__all__ = ["admin", "user"]

LIST = "/admin/accounts/livesession/"
END = f"{LIST}end/"
CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/156.0.0.0 Safari/537.36"
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 26_0 like Mac OS X) Version/26.0 Safari/604.1"
)


def opened(sub: str = "u-2", *, address: str = "", agent: str = "", **who: Any) -> Any:
    """A live session of somebody who has an account."""
    person = {**PROFILE, "sub": sub, "username": sub, "email": f"{sub}@example.com"}
    person |= who
    profile = StaffProfile(**{**person, "groups": tuple(person["groups"])})
    User.objects.enter(profile)
    session = SessionStore()
    found = {"provider": "oidc", "address": address, "agent": agent}
    session.begin(
        {"profile": profile.to_session(), "sign_in": found},
        person=keys.person(ISSUER, sub),
        origin=None,
    )
    session.save()
    return session


@pytest.fixture
def desk(client: Client, admin: User, settings: Settings) -> Client:
    """A security admin's browser, signed in a moment ago."""
    settings.STEP_UP_SECONDS = 0
    sign_in(client, admin)
    return client
