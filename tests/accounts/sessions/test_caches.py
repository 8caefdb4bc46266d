"""RED-11, RED-12: whatever is done to another cache, the sessions stay."""

from __future__ import annotations

import pytest
import redis
from django.core.cache import caches
from django_redis import get_redis_connection
from pytest_django.fixtures import Settings

from accounts.sessions import live
from accounts.sessions.connections import client
from backoffice.demo.store import EmbeddedStore
from tests.accounts.sessions.conftest import begin, is_live
from tests.conftest import PATIENCE_SECONDS

pytestmark = pytest.mark.django_db


@pytest.fixture
def neighbour(
    store: redis.Redis, store_server: EmbeddedStore, settings: Settings
) -> str:
    """A cache of somebody else's, in the next database of the same server."""
    url = store_server.url.replace("db=0", "db=1")
    cache = {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": url}
    settings.CACHES = {**settings.CACHES, "default": cache}
    return "default"


def test_clearing_the_default_cache_ends_nobody(store: redis.Redis) -> None:
    session = begin()
    caches["default"].set("x", 1)
    caches["default"].clear()
    assert is_live(session)


def test_clearing_a_cache_on_the_same_server_ends_nobody(neighbour: str) -> None:
    session = begin()
    caches[neighbour].set("x", 1)
    caches[neighbour].clear()
    assert caches[neighbour].get("x") is None
    assert is_live(session)
    assert live.count() == 1


def test_sessions_share_no_connection_with_another_cache(neighbour: str) -> None:
    begin()
    other = get_redis_connection(neighbour).connection_pool
    ours = client().connection_pool
    assert other is not ours
    assert ours.connection_kwargs["socket_timeout"] == PATIENCE_SECONDS
    assert "socket_timeout" not in other.connection_kwargs
