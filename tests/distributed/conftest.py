from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.distributed.machines import (
    WithCluster,
    WithSentinels,
    running_cluster,
    running_set,
)


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WithSentinels]:
    """A site on a Sentinel set."""
    with running_set(tmp_path_factory.mktemp("set")) as running:
        yield running


@pytest.fixture(scope="module")
def clustered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WithCluster]:
    """A site on a Cluster of six nodes."""
    with running_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running
