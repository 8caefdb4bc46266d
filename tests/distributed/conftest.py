from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests import topology
from tests.distributed.machines import WithCluster, WithSentinels
from tests.fakes.store import Proxy
from tests.journeys.site import running_site
from tests.topology import SERVICE, Topology


@pytest.fixture(scope="module")
def sentinel_set(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Topology]:
    with topology.sentinel(tmp_path_factory.mktemp("set"), 1) as running:
        yield running


@pytest.fixture(scope="module")
def machines(
    sentinel_set: Topology, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WithSentinels]:
    """A site on a Sentinel set."""
    folder = tmp_path_factory.mktemp("site")
    with ExitStack() as stack:
        between = [
            stack.enter_context(Proxy(each.url)) for each in sentinel_set.watchers
        ]
        hosts = ",".join(f"127.0.0.1:{proxy.port}" for proxy in between)
        address = f"redis+sentinel://{hosts}/{SERVICE}"
        site = stack.enter_context(running_site(folder, REDIS_URL=address))
        site.environment["REDIS_URL"] = sentinel_set.address
        yield WithSentinels(site, sentinel_set, between)


@pytest.fixture(scope="module")
def clustered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WithCluster]:
    """A site on a Cluster of six nodes."""
    nodes, folder = tmp_path_factory.mktemp("nodes"), tmp_path_factory.mktemp("site")
    with (
        topology.cluster(nodes, with_replicas=True) as store,
        running_site(folder, REDIS_URL=store.address) as site,
    ):
        yield WithCluster(site, store)
