from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest
import redis
from django.contrib.auth.models import Group
from django.test import Client
from pytest_django.fixtures import Settings

from accounts import keys
from accounts.models import User
from accounts.profile import StaffProfile
from accounts.rights import Role
from accounts.sessions.store import SessionStore
from backoffice.demo.store import EmbeddedStore
from tests import topology
from tests.conftest import use_store
from tests.fakes.store import Proxy
from tests.topology import Topology

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


@pytest.fixture
def user() -> User:
    return User.objects.enter(StaffProfile(**{**PROFILE, "groups": ("staff",)}))[0]


@pytest.fixture
def admin() -> User:
    profile = {**PROFILE, "sub": "u-admin", "username": "desk", "groups": ("staff",)}
    admin, _ = User.objects.enter(StaffProfile(**profile))
    admin.is_staff = True
    admin.save()
    admin.groups.add(Group.objects.get(name=Role.ADMIN.value))
    return admin


def sign_in(client: Client, user: User) -> SessionStore:
    """Puts a live session of this person behind the client's cookie."""
    session = SessionStore()
    session.begin(
        {
            "_auth_user_id": str(user.pk),
            "_auth_user_backend": "accounts.sso.backend.StaffOpenIdConnect",
            "_auth_user_hash": user.get_session_auth_hash(),
            "profile": {**PROFILE, "issuer": user.issuer, "sub": user.sub},
            "sign_in": {"provider": "oidc"},
        },
        person=keys.person(user.issuer, user.sub),
        origin=None,
    )
    session.save()
    client.cookies["session_id"] = str(session.session_key)
    return session


@pytest.fixture
def proxy(
    store: redis.Redis, store_server: EmbeddedStore, settings: Settings
) -> Iterator[Proxy]:
    """The line to the store of all tests."""
    with Proxy(store_server.url) as line:
        use_store(settings, line.url)
        yield line


class Shapes:
    """Starts each shape when it is first asked for, and stops all at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stack = ExitStack()
        self.running: dict[str, Topology] = {}

    def get(self, kind: str) -> Topology:
        if kind not in self.running:
            start: Callable[[Path], AbstractContextManager[Topology]]
            start = getattr(topology, kind)
            self.running[kind] = self.stack.enter_context(start(self.folder / kind))
        return self.running[kind]


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shapes]:
    shapes = Shapes(tmp_path_factory.mktemp("shapes"))
    with shapes.stack:
        yield shapes
