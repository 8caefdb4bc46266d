"""What happens to a store with several servers while somebody ends sessions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

from tests.distributed.machines import Person, WithCluster, WithSentinels, frozen
from tests.topology import cut_off

Change = Callable[[WithSentinels], AbstractContextManager[None]]


@contextmanager
def planned(machines: WithSentinels) -> Iterator[None]:
    """An operator asks for it."""
    machines.fail_over()
    yield


@contextmanager
def thawed(machines: WithSentinels) -> Iterator[None]:
    """The old primary stands still, and goes on where it was after the change."""
    old = machines.primary()
    with frozen(old):
        machines.wait_for_another_primary(old)
    yield


@contextmanager
def partitioned(machines: WithSentinels) -> Iterator[None]:
    """The old primary hears nothing from its set, and the site still reaches it."""
    old = machines.primary()
    with cut_off(old):
        machines.wait_for_another_primary(old)
        yield


@contextmanager
def without_sentinels(machines: WithSentinels) -> Iterator[None]:
    """The site is on the old primary's side, and the sentinels on the other."""
    old = machines.primary()
    with cut_off(old), ExitStack() as stack:
        for proxy in machines.between:
            proxy.refuse()
            stack.callback(proxy.listen)
        machines.wait_for_another_primary(old)
        yield


CHANGES: list[Change] = [planned, thawed, partitioned, without_sentinels]

ClusterChange = Callable[[WithCluster, Person], AbstractContextManager[None]]


@contextmanager
def planned_in_cluster(machines: WithCluster, victim: Person) -> Iterator[None]:
    """An operator has a replica take its primary's place."""
    machines.fail_over(victim)
    yield


@contextmanager
def thawed_in_cluster(machines: WithCluster, victim: Person) -> Iterator[None]:
    """The victim's primary stands still, and goes on where it was after the change."""
    old = machines.primary_of(victim)
    with frozen(old):
        machines.wait_for_another_primary(victim, old)
    yield


CLUSTER_CHANGES: list[ClusterChange] = [planned_in_cluster, thawed_in_cluster]
