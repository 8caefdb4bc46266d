"""TLS to every server, to the sentinels too, who have users of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from pytest_django.fixtures import Settings

from accounts.sessions import checks, connections, fence, live
from accounts.sessions.errors import StoreUnavailable
from tests import tls_store, topology
from tests.accounts.sessions.conftest import begin, is_live
from tests.conftest import use_store
from tests.topology import (
    MEMBER,
    MEMBER_PASSWORD,
    SERVICE,
    TlsStore,
    Topology,
    certificate_in,
)
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(not tls_store.find(), reason=tls_store.HOW_TO_GET_IT),
]

SITE, PASSWORD = "site", "of-the-sentinels"


@pytest.fixture(scope="module")
def sentinel_set(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Topology]:
    folder = tmp_path_factory.mktemp("tls-set")
    with topology.tls_sentinel(folder, SITE, PASSWORD) as running:
        yield running


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Topology]:
    with topology.tls_cluster(tmp_path_factory.mktemp("tls-cluster")) as running:
        yield running


@pytest.fixture
def other_ca(tmp_path: Path) -> Path:
    return certificate_in(tmp_path)


def use_set(
    settings: Settings, address: str, user: str | None, password: str | None
) -> None:
    use_store(settings, address)
    cache = settings.CACHES["sessions"]
    login = {"username": user, "password": password}
    options = {**cache["OPTIONS"], "SENTINEL_KWARGS": login}
    changed = {**cache, "OPTIONS": options}
    settings.CACHES = {**settings.CACHES, "sessions": changed}


def cause_of_outage() -> str:
    with pytest.raises(StoreUnavailable) as raised:
        begin()
    return raised.value.cause


def with_ca(address: str, ca: Path) -> str:
    return f"{address.partition('?')[0]}?ssl_ca_certs={ca}"


def lives_and_dies() -> None:
    """A session is stored, listed, read under a confirmed lease, and killed."""
    session, other = begin("u-1"), begin("u-2")
    fence.confirm(connections.client())
    assert is_live(session)
    assert live.end([str(session.session_id)], by="desk").ended == [session.session_id]
    assert [is_live(each) for each in (session, other)] == [False, True]


# Sentinel ---------------------------------------------------------------------------


def test_sentinel_set_by_tls_with_a_user_of_the_sentinels(
    sentinel_set: Topology, settings: Settings
) -> None:
    use_set(settings, sentinel_set.address, SITE, PASSWORD)
    lives_and_dies()
    pool = connections.client().connection_pool
    made = pool.get_connection()
    assert made._sock.version().startswith("TLS")
    pool.release(made)


def test_change_of_primary_by_tls(sentinel_set: Topology, settings: Settings) -> None:
    use_set(settings, sentinel_set.address, SITE, PASSWORD)
    session = begin()
    before = fence.confirm(connections.client())
    asked = redis.Redis.from_url(
        sentinel_set.watchers[0].url, username=MEMBER, password=MEMBER_PASSWORD
    )
    asked.execute_command("SENTINEL", "FAILOVER", SERVICE)

    def has_changed() -> bool:
        try:
            return fence.confirm(connections.client()) != before
        except (redis.RedisError, OSError):
            return False

    assert wait_until(has_changed)
    assert is_live(session)
    asked.close()


def test_wrong_ca_of_a_sentinel_set_is_refused(
    sentinel_set: Topology, settings: Settings, other_ca: Path
) -> None:
    use_set(settings, with_ca(sentinel_set.address, other_ca), SITE, PASSWORD)
    assert cause_of_outage() == "sentinel-tls"


def test_sentinel_set_without_tls_is_refused(
    sentinel_set: Topology, settings: Settings
) -> None:
    plain = sentinel_set.address.partition("?")[0].replace("rediss", "redis")
    use_set(settings, plain, SITE, PASSWORD)
    assert cause_of_outage() == "no-majority"


@pytest.mark.parametrize(
    ("user", "password", "cause"),
    [
        (SITE, "wrong", "sentinel-not-authenticated"),
        ("nobody", PASSWORD, "sentinel-not-authenticated"),
        (None, None, "sentinel-not-permitted"),
    ],
)
def test_wrong_login_at_the_sentinels_is_told_as_that(
    sentinel_set: Topology,
    settings: Settings,
    user: str | None,
    password: str | None,
    cause: str,
) -> None:
    use_set(settings, sentinel_set.address, user, password)
    assert cause_of_outage() == cause
    (warning,) = checks._check_policy()
    assert cause in warning.msg
    assert "wrong" not in warning.msg


# Cluster ----------------------------------------------------------------------------


def test_cluster_by_tls(cluster: Topology, settings: Settings) -> None:
    use_store(settings, cluster.address)
    lives_and_dies()


def test_wrong_ca_of_a_cluster_is_refused(
    cluster: Topology, settings: Settings, other_ca: Path
) -> None:
    use_store(settings, with_ca(cluster.address, other_ca))
    assert cause_of_outage() == "tls"


def test_cluster_of_which_no_node_can_be_reached_is_an_outage(
    settings: Settings,
) -> None:
    use_store(settings, "redis+cluster://127.0.0.1:1")
    assert cause_of_outage() == "unreachable"


# One server -------------------------------------------------------------------------


@pytest.fixture
def one(tmp_path: Path) -> Iterator[TlsStore]:
    folder = tmp_path / "one"
    folder.mkdir()
    with TlsStore(folder, certificate_in(folder)) as server:
        yield server


def test_one_server_by_tls(one: TlsStore, settings: Settings) -> None:
    use_store(settings, one.url)
    lives_and_dies()


def test_wrong_ca_of_one_server_is_refused(
    one: TlsStore, settings: Settings, other_ca: Path
) -> None:
    use_store(settings, with_ca(one.url, other_ca))
    assert cause_of_outage() == "tls"
