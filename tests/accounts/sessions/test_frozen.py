from __future__ import annotations

import pytest
import redis
from pytest_django.fixtures import Settings

from accounts import keys
from accounts.sessions import frozen
from tests.accounts.sessions.conftest import Shapes
from tests.conftest import PATIENCE_SECONDS, use_store

# More batches than one round trip carries.
IDS = [f"{number:024x}" for number in range(1, 124)]


@pytest.fixture(params=["single", "cluster"])
def _kind_of_store(
    request: pytest.FixtureRequest, shapes: Shapes, settings: Settings
) -> None:
    shape = shapes.get(request.param)
    use_store(settings, shape.address, PATIENCE_SECONDS)
    shape.empty()


@pytest.fixture
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frozen, "BATCH", 2)


@pytest.mark.usefixtures("_kind_of_store", "_small_batches")
def test_list_is_read_back_as_it_was_kept() -> None:
    token = frozen.freeze(IDS, 60)
    frozen.keep(token, 90)
    count = frozen.batch_count(len(IDS))
    read = [each for n in range(count) for each in frozen.read(token, n)]
    assert (count, read) == (62, IDS)
    with pytest.raises(frozen.ListLost):
        frozen.read(token, count)
    frozen.drop(token)
    with pytest.raises(frozen.ListLost):
        frozen.read(token, 0)


@pytest.mark.usefixtures("_small_batches")
def test_batch_that_was_altered_or_moved_is_none(store: redis.Redis) -> None:
    token = frozen.freeze(IDS, 60)
    name = keys.frozen(token)
    first, second = store.hget(name, "0"), store.hget(name, "1")
    assert first
    store.hset(name, mapping={"1": first, "2": b"x" * len(first)})
    store.hset(keys.frozen("another"), "1", second or b"")
    for other, number in ((token, 1), (token, 2), ("another", 1)):
        with pytest.raises(frozen.ListLost):
            frozen.read(other, number)


def test_list_expires_and_its_length_is_bounded(
    store: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = frozen.freeze(IDS, 60)
    assert 0 < store.ttl(keys.frozen(token)) <= 60
    monkeypatch.setattr(frozen, "AT_MOST", len(IDS) - 1)
    with pytest.raises(frozen.ListTooLong):
        frozen.freeze(IDS, 60)
