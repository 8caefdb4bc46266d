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

from backoffice.demo.store import EmbeddedStore
from tests import tls_store
from tests.fakes.certificate import write_certificate
from tests.ports import reserved_port
from tests.waiting import wait_until

SERVICE = "sessions"
# Whom the servers of a set and its sentinels sign in as among themselves.
MEMBER, MEMBER_PASSWORD = "member", "among-themselves"
SLOTS = 16384
PATIENCE_SECONDS = 90


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
def sentinel(folder: Path, down_after: float = 60) -> Iterator[Topology]:
    """A primary, a replica, and three Sentinels.

    They elect another primary when this one was silent for `down_after` seconds: longer
    than a busy machine stands still, but where a failover is what is tested.
    """
    with ExitStack() as stack:
        rights = ["on", f">{MEMBER_PASSWORD}", "~*", "&*", "+@all"]
        member = ["--user", MEMBER, *rights, "--masteruser", MEMBER]
        member += ["--masterauth", MEMBER_PASSWORD]
        primary = stack.enter_context(_server(folder / "primary", *member))
        following = [*member, "--replicaof", "127.0.0.1", str(primary.port)]
        replica = stack.enter_context(_server(folder / "replica", *following))
        assert wait_until(lambda: _replicates(replica))
        watchers = [
            stack.enter_context(_watcher(folder / name, primary.port, down_after))
            for name in ("sentinel-0", "sentinel-1", "sentinel-2")
        ]
        assert wait_until(lambda: all(map(_knows_all, watchers)))
        hosts = ",".join(f"127.0.0.1:{watcher.port}" for watcher in watchers)
        yield Topology(
            f"redis+sentinel://{hosts}/{SERVICE}", [primary, replica], watchers
        )


@contextmanager
def cluster(folder: Path, with_replicas: bool = False) -> Iterator[Topology]:
    """Three primaries, each with a third of the slots, and a replica if wanted."""
    with ExitStack() as stack:
        nodes = [
            stack.enter_context(_node(folder / f"node-{n}", with_replicas))
            for n in range(3)
        ]
        _form_cluster(nodes)
        if with_replicas:
            nodes += [stack.enter_context(_replica_of(node, folder)) for node in nodes]
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
        yield Topology(f"redis+cluster://{hosts}", nodes)


class TlsStore(EmbeddedStore):
    """A server that takes TLS and nothing else, under a certificate of its own CA."""

    def __init__(
        self, folder: Path, certificate: Path, *extra: str, config: Path | None = None
    ) -> None:
        self.certificate = certificate
        port, files = reserved_port(), str(certificate)
        tls = ["--port", "0", "--tls-port", str(port), "--tls-replication", "yes"]
        for name in ("cert-file", "key-file", "ca-cert-file"):
            tls += [f"--tls-{name}", files]
        tls += ["--tls-auth-clients", "no", *extra]
        binary = tls_store.find()
        super().__init__(folder, port=port, extra=tls, config=config, binary=binary)

    @property
    def url(self) -> str:
        return f"rediss://127.0.0.1:{self.port}/0?ssl_ca_certs={self.certificate}"


def certificate_in(folder: Path) -> Path:
    """A certificate for this machine, which is its own CA, and its key."""
    path = folder / "certificate.pem"
    write_certificate(path)
    return path


@contextmanager
def tls_sentinel(folder: Path, user: str, password: str) -> Iterator[Topology]:
    """As `sentinel`, by TLS; the sentinels tell only this user who the primary is.

    Each is a user of the servers as well, with another password.
    """
    files = certificate_in(folder)
    rights = ["on", f">{MEMBER_PASSWORD}", "~*", "&*", "+@all"]
    member = ["--user", MEMBER, *rights, "--masteruser", MEMBER]
    member += ["--masterauth", MEMBER_PASSWORD]
    lines = [
        f"user {MEMBER} on >{MEMBER_PASSWORD} ~* &* +@all",
        f"user {user} on >{password} -@all +sentinel|get-master-addr-by-name",
        "user default on nopass ~* &* -@all +ping +info +sentinel|master",
        f"sentinel sentinel-user {MEMBER}",
        f"sentinel sentinel-pass {MEMBER_PASSWORD}",
    ]
    with ExitStack() as stack:
        primary = stack.enter_context(TlsStore(folder / "primary", files, *member))
        following = [*member, "--replicaof", "127.0.0.1", str(primary.port)]
        replica = stack.enter_context(TlsStore(folder / "replica", files, *following))
        assert wait_until(lambda: _replicates(replica))
        watchers = []
        for number in range(3):
            home = folder / f"sentinel-{number}"
            config = _sentinel_config(home, primary.port, 60, *lines)
            watcher = TlsStore(home, files, "--sentinel", config=config)
            watchers.append(stack.enter_context(watcher))
        assert wait_until(lambda: all(map(_knows_all, watchers)))
        hosts = ",".join(f"127.0.0.1:{watcher.port}" for watcher in watchers)
        address = f"rediss+sentinel://{hosts}/{SERVICE}?ssl_ca_certs={files}"
        yield Topology(address, [primary, replica], watchers)


@contextmanager
def tls_cluster(folder: Path) -> Iterator[Topology]:
    """As `cluster`, by TLS, among the nodes as well."""
    files = certificate_in(folder)
    extra = ["--cluster-node-timeout", "15000", "--tls-cluster", "yes"]
    with ExitStack() as stack:
        nodes: list[EmbeddedStore] = [
            stack.enter_context(
                TlsStore(folder / f"node-{n}", files, *cluster_mode(), *extra)
            )
            for n in range(3)
        ]
        _form_cluster(nodes)
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
        yield Topology(f"rediss+cluster://{hosts}?ssl_ca_certs={files}", nodes)


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


def _form_cluster(nodes: list[EmbeddedStore]) -> None:
    """Gives each a third of the slots, and has them meet."""
    clients = [redis.Redis.from_url(node.url) for node in nodes]
    for number, client in enumerate(clients):
        first, last = SLOTS * number // 3, SLOTS * (number + 1) // 3 - 1
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
        first_node = ("127.0.0.1", nodes[0].port, _bus_port(clients[0]))
        client.execute_command("CLUSTER", "MEET", *first_node)
    assert wait_until(lambda: all(map(_is_formed, clients)))
    for client in clients:
        client.close()


@contextmanager
def _replica_of(primary: EmbeddedStore, folder: Path) -> Iterator[EmbeddedStore]:
    with (
        _node(folder / f"replica-of-{primary.port}", True) as server,
        redis.Redis.from_url(server.url) as client,
        redis.Redis.from_url(primary.url) as there,
    ):
        to_meet = ("127.0.0.1", primary.port, _bus_port(there))
        client.execute_command("CLUSTER", "MEET", *to_meet)
        node_id = there.execute_command("CLUSTER", "MYID")

        def follows() -> bool:
            try:
                client.execute_command("CLUSTER", "REPLICATE", node_id)
            except redis.ResponseError:
                # They have not met yet.
                return False
            return _replicates(server)

        assert wait_until(follows)
        yield server


def _server(folder: Path, *extra: str) -> EmbeddedStore:
    return EmbeddedStore(folder, port=reserved_port(), extra=extra)


def _node(folder: Path, fails_over: bool) -> EmbeddedStore:
    # Longer than a busy machine lets a node wait: one that is taken for dead makes the
    # others refuse everybody.
    timeout = ["--cluster-node-timeout", "2000" if fails_over else "15000"]
    return _server(folder, *cluster_mode(), *timeout)


def cluster_mode() -> list[str]:
    """The options that make a server a node of a Cluster.

    Nodes talk among themselves on a second port. Theirs is 10,000 higher if not told,
    where systems take ports for outgoing connections from.
    """
    return ["--cluster-enabled", "yes", "--cluster-port", str(reserved_port())]


def _bus_port(client: redis.Redis) -> int:
    return int(str(client.config_get("cluster-port")["cluster-port"]))


def _watcher(folder: Path, primary_port: int, down_after: float) -> EmbeddedStore:
    config = _sentinel_config(folder, primary_port, down_after)
    return EmbeddedStore(
        folder, port=reserved_port(), config=config, extra=["--sentinel"]
    )


def _sentinel_config(
    folder: Path, primary_port: int, down_after: float, *lines: str
) -> Path:
    folder.mkdir(parents=True)
    config = folder / "sentinel.conf"
    more = "".join(f"{line}\n" for line in lines)
    config.write_text(
        f"sentinel monitor {SERVICE} 127.0.0.1 {primary_port} 2\n"
        f"sentinel down-after-milliseconds {SERVICE} {int(down_after * 1000)}\n"
        f"sentinel failover-timeout {SERVICE} 5000\n"
        f"sentinel auth-user {SERVICE} {MEMBER}\n"
        f"sentinel auth-pass {SERVICE} {MEMBER_PASSWORD}\n{more}"
    )
    return config


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
