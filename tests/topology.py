"""Stores in the shapes that production has: one server, a Sentinel set, a Cluster.

All of them are made of the one embedded binary, on loopback ports.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import redis

from backoffice.demo.children import wait_until
from backoffice.demo.ports import lasting_port, port_is_free
from backoffice.demo.store import EmbeddedStore

SERVICE = "sessions"
# Whom the servers of a set and its sentinels sign in as among themselves.
MEMBER, MEMBER_PASSWORD = "member", "among-themselves"
BUS_PORTS = 10_000
IN_CLUSTER = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
SLOTS = 16384
PATIENCE_SECONDS = 30


@dataclass
class Topology:
    """A store, the REDIS_URL that names it, and the servers it is made of."""

    address: str
    servers: list[EmbeddedStore]
    watchers: list[EmbeddedStore] = field(default_factory=list)

    def clients(self) -> list[redis.Redis]:
        return [redis.Redis.from_url(server.url) for server in self.servers]

    def empty(self) -> None:
        """Forgets every session, on whichever servers accept writes."""
        for client in self.clients():
            if client.info("replication")["role"] == "master":
                client.flushall()
            client.close()


def wait_for_disk(server: EmbeddedStore) -> None:
    """Returns when what was written so far would outlive a crash of the machine.

    WAITAOF counts from the last write of the connection that asks, hence the write.
    """
    with redis.Redis.from_url(server.url) as client:
        client.set("last", "word", px=1)
        kept, _ = client.waitaof(1, 0, PATIENCE_SECONDS * 1000)
    assert kept == 1


@contextmanager
def single(folder: Path) -> Iterator[Topology]:
    with EmbeddedStore(folder) as server:
        yield Topology(server.url, [server])


@contextmanager
def sentinel(folder: Path) -> Iterator[Topology]:
    """A primary, a replica, and three Sentinels that agree within a second."""
    with ExitStack() as stack:
        rights = ["on", f">{MEMBER_PASSWORD}", "~*", "&*", "+@all"]
        member = ["--user", MEMBER, *rights, "--masteruser", MEMBER]
        member += ["--masterauth", MEMBER_PASSWORD]
        primary = stack.enter_context(_server(folder / "primary", *member))
        following = [*member, "--replicaof", "127.0.0.1", str(primary.port)]
        replica = stack.enter_context(_server(folder / "replica", *following))
        assert wait_until(lambda: _replicates(replica), PATIENCE_SECONDS)
        watchers = [
            stack.enter_context(_watcher(folder / f"sentinel-{n}", primary.port))
            for n in range(3)
        ]
        assert wait_until(lambda: all(map(_knows_all, watchers)), PATIENCE_SECONDS)
        hosts = ",".join(f"127.0.0.1:{watcher.port}" for watcher in watchers)
        yield Topology(
            f"redis+sentinel://{hosts}/{SERVICE}", [primary, replica], watchers
        )


@contextmanager
def cluster(folder: Path, with_replicas: bool = False) -> Iterator[Topology]:
    """Three primaries, each with a third of the slots, and a replica if wanted."""
    with ExitStack() as stack:
        nodes = [
            stack.enter_context(_server(folder / f"node-{n}", *IN_CLUSTER))
            for n in range(3)
        ]
        clients = [redis.Redis.from_url(node.url) for node in nodes]
        for number, client in enumerate(clients):
            first, last = SLOTS * number // 3, SLOTS * (number + 1) // 3 - 1
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
            client.execute_command("CLUSTER", "MEET", "127.0.0.1", nodes[0].port)
        assert wait_until(lambda: all(map(_is_formed, clients)), PATIENCE_SECONDS)
        if with_replicas:
            nodes += [stack.enter_context(_replica_of(node, folder)) for node in nodes]
        for client in clients:
            client.close()
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
        yield Topology(f"redis+cluster://{hosts}", nodes)


@contextmanager
def cut_off(server: EmbeddedStore) -> Iterator[None]:
    """A server whose set and sentinels reach it no more, while everybody else does.

    A partition that needs no rights of root: they sign in as a user of their own, and
    nobody else has any use for PING.
    """
    with redis.Redis.from_url(server.url) as connection:
        connection.execute_command("ACL", "SETUSER", "default", "-ping")
        connection.execute_command("ACL", "SETUSER", MEMBER, "off")
        connection.execute_command("CLIENT", "KILL", "USER", MEMBER)
        try:
            yield
        finally:
            connection.execute_command("ACL", "SETUSER", MEMBER, "on")
            connection.execute_command("ACL", "SETUSER", "default", "+ping")


@contextmanager
def _replica_of(primary: EmbeddedStore, folder: Path) -> Iterator[EmbeddedStore]:
    with (
        _server(folder / f"replica-of-{primary.port}", *IN_CLUSTER) as server,
        redis.Redis.from_url(server.url) as client,
        redis.Redis.from_url(primary.url) as there,
    ):
        client.execute_command("CLUSTER", "MEET", "127.0.0.1", primary.port)
        node_id = there.execute_command("CLUSTER", "MYID")

        def follows() -> bool:
            try:
                client.execute_command("CLUSTER", "REPLICATE", node_id)
            except redis.ResponseError:
                # They have not met yet.
                return False
            return _replicates(server)

        assert wait_until(follows, PATIENCE_SECONDS)
        yield server


def _server(folder: Path, *extra: str) -> EmbeddedStore:
    return EmbeddedStore(folder, port=cluster_port(), extra=extra)


def cluster_port() -> int:
    """A free port whose second one is free as well.

    Nodes of a Cluster talk among themselves on a port 10,000 higher, where systems take
    ports for outgoing connections from.
    """
    while True:
        port = lasting_port()
        if port_is_free(port + BUS_PORTS):
            return port


def _watcher(folder: Path, primary_port: int) -> EmbeddedStore:
    folder.mkdir(parents=True)
    config = folder / "sentinel.conf"
    config.write_text(
        f"sentinel monitor {SERVICE} 127.0.0.1 {primary_port} 2\n"
        f"sentinel down-after-milliseconds {SERVICE} 1000\n"
        f"sentinel failover-timeout {SERVICE} 5000\n"
        f"sentinel auth-user {SERVICE} {MEMBER}\n"
        f"sentinel auth-pass {SERVICE} {MEMBER_PASSWORD}\n"
    )
    return EmbeddedStore(
        folder, port=lasting_port(), config=config, extra=["--sentinel"]
    )


def _replicates(server: EmbeddedStore) -> bool:
    client = redis.Redis.from_url(server.url)
    status = client.info("replication").get("master_link_status")
    client.close()
    return bool(status == "up")


def _knows_all(watcher: EmbeddedStore) -> bool:
    client = redis.Redis.from_url(watcher.url)
    state = client.sentinel_master(SERVICE)
    client.close()
    return state["num-other-sentinels"] == 2 and state["num-slaves"] == 1


def _is_formed(client: redis.Redis) -> bool:
    facts = bytes(client.execute_command("CLUSTER", "INFO"))
    return b"cluster_state:ok" in facts and b"cluster_known_nodes:3" in facts


def wait_for_primary(topology: Topology, seconds: float = PATIENCE_SECONDS) -> None:
    """Returns when some living server of the set takes writes."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for server in topology.servers:
            if server.is_alive() and _takes_writes(server):
                return
        time.sleep(0.1)
    raise AssertionError("no primary was elected")


def _takes_writes(server: EmbeddedStore) -> bool:
    client = redis.Redis.from_url(server.url)
    try:
        return bool(client.info("replication")["role"] == "master")
    except redis.RedisError:
        return False
    finally:
        client.close()
