"""P1 through changes of primary: from its success on, what a kill ended is refused."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

import pytest

from tests.distributed.machines import (
    Machines,
    Person,
    Watch,
    WithCluster,
    WithSentinels,
    frozen,
)
from tests.topology import cut_off
from tests.waiting import wait_until

ENOUGH = 60

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


@pytest.mark.parametrize("is_planned", [True, False], ids=["planned", "thawed"])
def test_kill_after_a_change_of_primary_in_a_cluster_is_seen_by_every_process(
    clustered: WithCluster, is_planned: bool
) -> None:
    clustered.wait_for_replicas()
    victim, other = clustered.person(), clustered.person()
    old = clustered.primary_of(victim)
    with Watch(victim).watching() as watch, Watch(other).watching() as alive:
        if is_planned:
            clustered.fail_over(victim)
        else:
            with frozen(old):
                clustered.wait_for_another_primary(victim, old)
        kill_passes_nobody(clustered, victim, watch)
        over = time.monotonic()
        assert wait_until(lambda: 200 in alive.sent_after(over))
    assert 401 not in alive.sent_after(0)
