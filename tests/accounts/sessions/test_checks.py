from __future__ import annotations

from typing import Any

import pytest
import redis
from pytest_django.fixtures import Settings

from accounts.sessions.checks import check_cookie, check_store
from tests.conftest import use_store

pytestmark = pytest.mark.usefixtures("store", "production_timeout")


@pytest.fixture
def production_timeout(store: redis.Redis, settings: Settings) -> None:
    """The store's timeout as the checks want it; that of other tests is longer."""
    url = settings.CACHES["sessions"]["LOCATION"]
    use_store(settings, url, 1.0)


def change(settings: Settings, **changes: Any) -> None:
    cache = settings.CACHES["sessions"]
    options = {**cache["OPTIONS"], **changes}
    settings.CACHES = {**settings.CACHES, "sessions": {**cache, "OPTIONS": options}}


def found() -> set[str | None]:
    return {message.id for message in check_store()}


def test_our_own_settings_are_fine() -> None:
    assert found() == set()


def test_pickle_is_refused(settings: Settings) -> None:
    change(settings, SERIALIZER="django_redis.serializers.pickle.PickleSerializer")
    assert found() == {"accounts.E001"}


def test_ignored_errors_are_refused(settings: Settings) -> None:
    change(settings, IGNORE_EXCEPTIONS=True)
    assert found() == {"accounts.E002"}


def test_errors_ignored_for_all_caches_are_refused(settings: Settings) -> None:
    settings.DJANGO_REDIS_IGNORE_EXCEPTIONS = True
    assert found() == {"accounts.E002"}


@pytest.mark.parametrize("pool", [{}, {"socket_timeout": 0.3}, {"socket_timeout": 30}])
def test_missing_or_long_timeouts_are_refused(
    settings: Settings, pool: dict[str, float]
) -> None:
    change(settings, CONNECTION_POOL_KWARGS=pool)
    assert found() == {"accounts.E003"}


def test_store_shared_with_a_cache_is_refused(settings: Settings) -> None:
    sessions = settings.CACHES["sessions"]
    settings.CACHES = {**settings.CACHES, "default": sessions}
    assert found() == {"accounts.E004"}


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-lru", "volatile-ttl"])
def test_store_that_evicts_is_refused(store: redis.Redis, policy: str) -> None:
    store.config_set("maxmemory-policy", policy)
    try:
        assert found() == {"accounts.E006"}
    finally:
        store.config_set("maxmemory-policy", "noeviction")


def test_store_shared_under_another_spelling_is_refused(settings: Settings) -> None:
    url = settings.CACHES["sessions"]["LOCATION"]
    cache = {"BACKEND": "django_redis.cache.RedisCache"}
    settings.CACHES = {
        **settings.CACHES,
        "default": {**cache, "LOCATION": [url.replace("db=0", "db=1")]},
        "same": {**cache, "LOCATION": [url.replace("?db=0", "")]},
    }
    (found,) = check_store()
    assert (found.id, "'same'" in found.msg) == ("accounts.E004", True)


def test_store_that_is_away_is_a_warning(settings: Settings) -> None:
    use_store(settings, "redis://127.0.0.1:1/0", 1.0)
    assert found() == {"accounts.W001"}


def test_cookie_must_be_secure_and_bound_to_the_host(settings: Settings) -> None:
    assert [message.id for message in check_cookie()] == ["accounts.E005"]
    settings.SESSION_COOKIE_SECURE = True
    settings.SESSION_COOKIE_NAME = "__Host-session_id"
    assert check_cookie() == []


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("redis+sentinel://127.0.0.1:1/sessions", True),
        ("redis+sentinel://127.0.0.1:1,127.0.0.1:2/sessions", True),
        ("redis+sentinel://127.0.0.1:1,127.0.0.1:2,127.0.0.1:3/sessions", False),
        ("redis+cluster://127.0.0.1:1", False),
    ],
)
def test_too_few_sentinels_are_told_of(
    settings: Settings, address: str, told: bool
) -> None:
    use_store(settings, address, 1.0)
    assert ("accounts.W004" in found()) is told
