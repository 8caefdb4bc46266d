"""P1 through changes of primary: from its success on, what a kill ended is refused."""

from __future__ import annotations

import time

import pytest

from tests.distributed.changes import (
    CHANGES,
    CLUSTER_CHANGES,
    Change,
    ClusterChange,
)
from tests.distributed.machines import (
    Machines,
    Person,
    Watch,
    WithCluster,
    WithSentinels,
)
from tests.waiting import wait_until

ENOUGH = 60


def kill_passes_nobody(machines: Machines, victim: Person, watch: Watch) -> None:
    """Ends the session; nothing that is sent after that reported success passes."""
    killed = machines.kill(victim)
    done = time.monotonic()
    assert killed.returncode == 0, killed.stderr
    assert wait_until(lambda: len(watch.sent_after(done)) >= ENOUGH)
    assert 200 not in watch.sent_after(done)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_kill_after_a_change_of_primary_is_seen_by_every_process(
    machines: WithSentinels, change: Change
) -> None:
    machines.wait_for_replica()
    victim, other = machines.person(), machines.person()
    with Watch(victim).watching() as watch, Watch(other).watching() as alive:
        with change(machines):
            kill_passes_nobody(machines, victim, watch)
        over = time.monotonic()
        assert wait_until(lambda: 200 in alive.sent_after(over))
        assert 200 not in watch.sent_after(over)
    # Nobody who is alive is ever taken for somebody who is not.
    assert 401 not in alive.sent_after(0)


@pytest.mark.parametrize("change", CLUSTER_CHANGES, ids=lambda change: change.__name__)
def test_kill_after_a_change_of_primary_in_a_cluster_is_seen_by_every_process(
    clustered: WithCluster, change: ClusterChange
) -> None:
    clustered.wait_for_replicas()
    victim, other = clustered.person(), clustered.person()
    with Watch(victim).watching() as watch, Watch(other).watching() as alive:
        with change(clustered, victim):
            kill_passes_nobody(clustered, victim, watch)
        over = time.monotonic()
        assert wait_until(lambda: 200 in alive.sent_after(over))
    assert 401 not in alive.sent_after(0)
