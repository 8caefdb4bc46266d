"""Which server is the primary now, asked of those who decide it.

A connection that still works proves nothing: after a change of primary, and through a
partition, the old one goes on answering whoever is connected to it. So the servers that
decide are asked, each time over new connections:

* With Sentinel a majority of the configured sentinels must name the same address.
* In a Cluster a majority of the primaries must describe the same slots.
* A single address is connected to once more: a name or a virtual address may have
  moved.

What is found is the identity of the store: of each primary its run id, and the id of
the history that it replicates, which changes when a replica is promoted.
"""

from __future__ import annotations

import ssl
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import redis
from redis.cluster import RedisCluster
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError
from redis.sentinel import MasterNotFoundError, Sentinel

from accounts.sessions.clock import Reading

Identity = frozenset[str]
Address = tuple[str, int]
# First and last slot, and the address of the primary that serves them.
Slots = frozenset[tuple[int, int, Address]]
# In a Cluster everybody goes by the clock of the primary that serves this slot.
CLOCK_SLOT = 0
Member = TypeVar("Member")
Reply = TypeVar("Reply")


class NoMajority(MasterNotFoundError):
    """No majority names the same primary, so nobody knows which one it is.

    `cause` is a short name for logs and operators.
    """

    def __init__(self, message: str, cause: str = "no-majority") -> None:
        super().__init__(message)
        self.cause = cause


class MajoritySentinel(Sentinel):
    """redis-py's, which believes the first sentinel that replies.

    One that is cut off from the others names the old primary for as long as it is.
    """

    def __init__(self, sentinels: Iterable[redis.Redis]) -> None:
        super().__init__(())  # type: ignore[no-untyped-call]
        self.sentinels = list(sentinels)

    def discover_master(self, service_name: str) -> Address:
        """The address that more than half of the sentinels name; raises NoMajority."""

        def ask(sentinel: redis.Redis) -> Address | None:
            found: Any = sentinel.sentinel_get_master_addr_by_name(service_name)
            return _address(*found) if found else None

        named: Counter[Address] = Counter()
        failures: list[Exception] = []
        for address in _replies(ask, self.sentinels, failures):
            if address is None:
                continue
            named[address] += 1
            if named[address] * 2 > len(self.sentinels):
                return address
        counted = f"{len(self.sentinels)} sentinels named {dict(named)}"
        raise NoMajority(f"{counted}: {_told(failures)}", _cause_of(failures))


def _told(failures: list[Exception]) -> str:
    return "; ".join(sorted({str(each) for each in failures})) or "all replied"


def _cause_of(failures: list[Exception]) -> str:
    """What an operator has to put right, where that can be told from the failures."""
    if any(isinstance(each, AuthenticationError) for each in failures):
        return "sentinel-not-authenticated"
    if any(isinstance(each, NoPermissionError) for each in failures):
        return "sentinel-not-permitted"
    return "sentinel-tls" if any(map(is_tls_failure, failures)) else "no-majority"


def is_tls_failure(error: BaseException) -> bool:
    """Whether a connection failed because TLS did: a wrong CA, or no TLS over there."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, ssl.SSLError):
        found = found.__cause__ or found.__context__
    return found is not None


@dataclass(frozen=True, slots=True)
class Sighting:
    """The servers that are the primaries now, and the clock of the one all go by."""

    identity: Identity
    reading: Reading | None


def identify(store: Any) -> Sighting:
    """Finds the servers that are the primaries now.

    Raises RedisError or OSError when that cannot be found out.
    """
    if isinstance(store, RedisCluster):
        return _identify_cluster(store)
    with _new_connection(store.connection_pool) as connection:
        return Sighting(frozenset({connection.identity}), connection.reading)


@contextmanager
def _new_connection(pool: Any) -> Iterator[Any]:
    """A connection as the pool makes them, but outside it; closed afterwards."""
    connection = pool.connection_class(**pool.connection_kwargs)
    try:
        connection.connect()
        yield connection
    finally:
        connection.disconnect()


def _identify_cluster(store: RedisCluster) -> Sighting:
    views: Counter[Slots] = Counter()
    found: dict[Address, Sighting] = {}
    nodes: list[Any] = store.get_nodes()  # type: ignore[no-untyped-call]
    ask = partial(_look_at_cluster, store)
    for address, sighting, slots in _replies(ask, nodes):
        found[address] = sighting
        # Only primaries vote, as among themselves.
        if any(address == primary for _, _, primary in slots):
            views[slots] += 1
    nothing: Slots = frozenset()
    slots, votes = max(views.items(), key=lambda each: each[1], default=(nothing, 0))
    primaries = {primary for _, _, primary in slots}
    if not primaries or votes * 2 <= len(primaries):
        raise NoMajority(f"{votes} of {len(primaries)} primaries agree on the slots")
    _follow(store, slots)
    identities = [each.identity for at, each in found.items() if at in primaries]
    # One that does not reply is another one when it comes back.
    away = {f"away {each}" for each in primaries - found.keys()}
    readings = [
        found[primary].reading
        for first, last, primary in slots
        if first <= CLOCK_SLOT <= last and primary in found
    ]
    return Sighting(
        frozenset(away).union(*identities), readings[0] if readings else None
    )


def _look_at_cluster(store: RedisCluster, node: Any) -> tuple[Address, Sighting, Slots]:
    """A node's address, who it is, and its view of who serves which slots."""
    own: Address = node.host, node.port
    with _new_connection(
        store.get_redis_connection(node).connection_pool
    ) as connection:
        connection.send_command("CLUSTER", "SLOTS")
        listed = connection.read_response(disable_decoding=True)
        # A node that does not know its own address leaves it empty.
        slots = frozenset(
            (first, last, _address(primary[0] or own[0], primary[1]))
            for first, last, primary, *_ in listed
        )
        who = Sighting(frozenset({connection.identity}), connection.reading)
        return own, who, slots


def _follow(store: RedisCluster, slots: Slots) -> None:
    """Makes the client send its commands where the majority says; raises NoMajority."""
    if _is_followed(store, slots):
        return
    store.nodes_manager.initialize()
    if not _is_followed(store, slots):
        raise NoMajority("the client's view of the slots is another one")


def _is_followed(store: RedisCluster, slots: Slots) -> bool:
    known = store.nodes_manager.slots_cache
    return all(
        first in known and (known[first][0].host, known[first][0].port) == address
        for first, _, address in slots
    )


def _replies(
    ask: Callable[[Member], Reply],
    members: list[Member],
    failures: list[Exception] | None = None,
) -> Iterator[Reply]:
    """What each member replies, the quickest first; of the others, how they failed.

    All are asked at once: one that is frozen costs its time-out, and must not add it to
    the others'.
    """
    threads = ThreadPoolExecutor(max(1, len(members)))
    asked = [threads.submit(ask, member) for member in members]
    try:
        for each in as_completed(asked):
            try:
                yield each.result()
            except (RedisError, OSError) as error:
                if failures is not None:
                    failures.append(error)
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


def _address(host: Any, port: Any) -> Address:
    return (host.decode() if isinstance(host, bytes) else str(host)), int(port)
