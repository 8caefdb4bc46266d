from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from pytest_django.fixtures import Settings

from accounts import keys
from accounts.sessions.errors import StoreUnavailable
from accounts.sso import replay
from accounts.sso.logout_token import LEEWAY_SECONDS, MAX_AGE_SECONDS, LogoutToken
from accounts.sso.replay import TAKEN_SECONDS, USED_SECONDS
from tests.conftest import use_store

pytestmark = pytest.mark.usefixtures("store")

TOKEN = LogoutToken("https://idp.example", "j-1", "u-1", None)
NAME = keys.logout_token(TOKEN.issuer, TOKEN.jti)


def test_token_is_new_once() -> None:
    assert replay.take(TOKEN)
    assert not replay.take(TOKEN)


def test_same_jti_of_another_issuer_is_another_token() -> None:
    assert replay.take(TOKEN)
    assert replay.take(LogoutToken("https://other.example", "j-1", "u-1", None))


def test_of_many_at_once_one_is_new() -> None:
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: replay.take(TOKEN), range(32)))
    assert sum(found) == 1


def test_taken_token_is_new_again_when_nothing_came_of_it(store: redis.Redis) -> None:
    replay.take(TOKEN)
    assert 0 < store.ttl(NAME) <= TAKEN_SECONDS
    store.delete(NAME)  # as its end would; the store's clock cannot be moved
    assert replay.take(TOKEN)


def test_used_token_is_remembered_longer_than_it_is_accepted(
    store: redis.Redis,
) -> None:
    replay.take(TOKEN)
    replay.use_up(TOKEN)
    acceptable = LEEWAY_SECONDS + MAX_AGE_SECONDS + LEEWAY_SECONDS
    assert acceptable < store.ttl(NAME) <= USED_SECONDS
    assert not replay.take(TOKEN)


def test_store_holds_neither_issuer_nor_jti(store: redis.Redis) -> None:
    replay.take(LogoutToken("https://idp.example", "a-telling-jti", None, "s-1"))
    dump = b"".join(store.keys())
    assert b"telling" not in dump
    assert b"idp" not in dump


def test_store_that_is_away_is_not_an_answer(settings: Settings) -> None:
    use_store(settings, "redis://127.0.0.1:1/0")
    with pytest.raises(StoreUnavailable):
        replay.take(TOKEN)
    with pytest.raises(StoreUnavailable):
        replay.use_up(TOKEN)
