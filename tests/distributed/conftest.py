from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests import topology
from tests.distributed.machines import Machines
from tests.fakes.store import Proxy
from tests.journeys.site import running_site
from tests.topology import SERVICE, Topology


@pytest.fixture(scope="module")
def sentinel_set(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Topology]:
    with topology.sentinel(tmp_path_factory.mktemp("set")) as running:
        yield running


@pytest.fixture(scope="module")
def machines(
    sentinel_set: Topology, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machines]:
    """A site on a Sentinel set, and a terminal on another machine."""
    folder = tmp_path_factory.mktemp("site")
    with ExitStack() as stack:
        between = [
            stack.enter_context(Proxy(each.url)) for each in sentinel_set.watchers
        ]
        hosts = ",".join(f"127.0.0.1:{proxy.port}" for proxy in between)
        address = f"redis+sentinel://{hosts}/{SERVICE}"
        site = stack.enter_context(running_site(folder, REDIS_URL=address))
        site.environment["REDIS_URL"] = sentinel_set.address
        yield Machines(site, sentinel_set, between)
