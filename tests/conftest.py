from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import redis
import time_machine
from django.core.cache import caches
from django.db import connection
from django_redis.pool import ConnectionFactory
from pytest_django.fixtures import Settings

from accounts.audit import triggers, writing
from accounts.sessions import clock, connections, fence, ledger, outages
from backoffice.demo.store import EmbeddedStore
from backoffice.env import StoreAddress

# The store's timeout where no outage is tested: a busy machine may stand still for
# seconds. Production has STORE_TIMEOUT_SECONDS, and accounts.E003 allows one second.
PATIENCE_SECONDS = 20.0

Travel = time_machine.Traveller

# How fast a shared machine makes examples says nothing about the code.
hypothesis.settings.register_profile(
    "shared-machine",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("shared-machine")


@pytest.fixture
def travel() -> Iterator[Travel]:
    """A clock that can be moved: `travel.shift(seconds)`. The store's own stays."""
    with time_machine.travel(time.time(), tick=True) as traveller:
        yield traveller


@pytest.fixture(scope="session")
def store_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStore]:
    """One real Valkey for all tests of this process."""
    with EmbeddedStore(tmp_path_factory.mktemp("store")) as server:
        yield server


@pytest.fixture
def store(store_server: EmbeddedStore, settings: Settings) -> Iterator[redis.Redis]:
    """An empty session store, and a client of its own to look into it."""
    if not store_server.is_alive():
        store_server.start()
    use_store(settings, store_server.url)
    client = redis.Redis.from_url(store_server.url)
    client.flushall()
    yield client
    client.close()


def use_store(settings: Settings, url: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Points the site at another store, as when the network changes under it.

    `seconds`: its timeout; a test of a store that hangs gives a short one.
    """
    settings.STORE_TIMEOUT_SECONDS = seconds
    cache, address = settings.CACHES["sessions"], StoreAddress.parse(url)
    waits = ("socket_timeout", "socket_connect_timeout")
    patience = dict.fromkeys(waits, seconds)
    options = {
        **cache["OPTIONS"],
        "CONNECTION_POOL_KWARGS": {
            **cache["OPTIONS"]["CONNECTION_POOL_KWARGS"],
            **patience,
        },
        "CONNECTION_FACTORY": f"accounts.sessions.connections.{address.kind}",
        "SENTINELS": address.sentinels,
    }
    changed = {**cache, "LOCATION": address.url, "OPTIONS": options}
    settings.CACHES = {**settings.CACHES, "sessions": changed}


@pytest.fixture(autouse=True)
def _flushable_audit(request: pytest.FixtureRequest) -> Iterator[None]:
    """What committed for real is flushed afterwards, which the audit's triggers refuse.

    The flush ends like a migration and makes them again.
    """
    marker = request.node.get_closest_marker("django_db")
    if marker is None or not marker.kwargs.get("transaction"):
        yield
        return
    request.getfixturevalue("transactional_db")
    yield
    with connection.cursor() as cursor:
        for name in triggers.NAMES:
            cursor.execute(f"DROP TRIGGER IF EXISTS {name}")


@pytest.fixture(autouse=True)
def _no_other_leases(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kills in this process have no other process to wait for.

    The stores of most tests are seconds old: each first kill would wait for leases that
    nobody holds. `@pytest.mark.leases` keeps the wait.
    """
    if not request.node.get_closest_marker("leases"):
        monkeypatch.setattr(ledger, "wait_for_other_leases", lambda store: None)


@pytest.fixture(autouse=True)
def _own_clock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """`travel` moves the clock of this process, and the store's stays where it is.

    So the store's is not followed. `@pytest.mark.store_clock` follows it.
    """
    if not request.node.get_closest_marker("store_clock"):
        monkeypatch.setattr(clock, "follow", lambda reading: None)


@pytest.fixture(autouse=True)
def _fresh_process(tmp_path: Path) -> Iterator[None]:
    """What a process keeps in memory must not leak from one test into the next."""
    clock.reset()
    fence.forget()
    ledger._caught_up = 0.0
    outages.forget()
    connections.forget()
    writing.waiting.clear()
    yield
    clock.reset()
    for pool in ConnectionFactory._pools.values():
        pool.disconnect()
    ConnectionFactory._pools.clear()
    caches.close_all()
