"""A site, its store and what happens to both, counted from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import redis
import requests

from backoffice.demo.store import EmbeddedStore
from tests import topology
from tests.fakes.store import Proxy
from tests.journeys.site import SUPPORT, Browser, Site, running_site
from tests.topology import SERVICE, Topology
from tests.waiting import wait_until

GATED = "/api/proxy/members/"


@dataclass
class Person:
    """A member of staff who is signed in."""

    browser: Browser
    session_id: str


@dataclass
class Machines:
    """A site, its store, and a terminal on another machine."""

    site: Site
    store: Topology

    def person(self, sub: str = SUPPORT) -> Person:
        """Somebody who is signed in and whose requests pass."""

        def signs_in() -> bool:
            browser.sign_in(sub)
            return browser.call(GATED).status_code == 200

        browser = self.site.browser()
        assert wait_until(signs_in)
        return Person(browser, self._newest_session())

    def kill(self, person: Person) -> subprocess.CompletedProcess[str]:
        """Ends this person's session from a terminal."""
        return self.site.manage(
            "purge_sessions", "--session", person.session_id, "--yes", check=False
        )

    def _newest_session(self) -> str:
        listed = self.site.manage("list_sessions", "--json", "--limit", "0").stdout
        found = json.loads(listed)["sessions"]
        return str(max(found, key=lambda each: each["began"])["session"])


@dataclass
class WithSentinels(Machines):
    """The store is a Sentinel set."""

    # What the site reaches each sentinel through; the terminal reaches them directly.
    between: list[Proxy]

    def primary(self) -> EmbeddedStore:
        """The server that a sentinel names."""
        with redis.Redis.from_url(self.store.watchers[0].url) as sentinel:
            _, port = sentinel.sentinel_get_master_addr_by_name(SERVICE)
        return next(each for each in self.store.servers if each.port == int(port))

    def fail_over(self) -> None:
        """Asks the sentinels for a change of primary, and returns when it is done."""
        before = self.primary()
        with redis.Redis.from_url(self.store.watchers[0].url) as sentinel:
            assert wait_until(lambda: _accepted(sentinel))
        self.wait_for_another_primary(before)

    def wait_for_another_primary(self, old: EmbeddedStore) -> None:
        """Returns when the sentinels name another server than this."""
        assert wait_until(lambda: self.primary() is not old)

    def wait_for_replica(self) -> None:
        """Returns when a failover would be possible again."""
        with redis.Redis.from_url(self.store.watchers[0].url) as sentinel:

            def is_ready() -> bool:
                state = sentinel.sentinel_master(SERVICE)
                replicas = sentinel.sentinel_slaves(SERVICE)
                return state["flags"] == "master" and any(
                    each["flags"] == "slave" and each["master-link-status"] == "ok"
                    for each in replicas
                )

            assert wait_until(is_ready)


@dataclass
class WithCluster(Machines):
    """The store is a Cluster of three primaries with a replica each."""

    def primary_of(self, person: Person) -> EmbeddedStore:
        """The server that has this session, as most nodes see it."""
        name = f"{{{person.session_id[0]}}}"
        named: Counter[int] = Counter()
        for server in self.store.servers:
            with (
                redis.Redis.from_url(server.url, socket_timeout=1) as node,
                suppress(redis.RedisError),
            ):
                named[_owner(node, name)] += 1
        port = named.most_common(1)[0][0]
        return next(each for each in self.store.servers if each.port == port)

    def fail_over(self, person: Person) -> None:
        """Has the replica of the session's primary take its place."""
        old = self.primary_of(person)
        for server in self.store.servers:
            with redis.Redis.from_url(server.url) as node:
                facts = node.info("replication")
                if facts["role"] == "slave" and facts["master_port"] == old.port:
                    node.execute_command("CLUSTER", "FAILOVER")
        self.wait_for_another_primary(person, old)

    def wait_for_another_primary(self, person: Person, old: EmbeddedStore) -> None:
        assert wait_until(lambda: self.primary_of(person) is not old)

    def wait_for_replicas(self) -> None:
        """Returns when each primary has a replica that follows it."""

        def are_ready() -> bool:
            following = 0
            for server in self.store.servers:
                with redis.Redis.from_url(server.url, socket_timeout=1) as node:
                    facts = node.info("replication")
                following += facts.get("master_link_status") == "up"
            return following == len(self.store.servers) // 2

        assert wait_until(are_ready)


def _owner(node: redis.Redis, name: str) -> int:
    slot = node.execute_command("CLUSTER", "KEYSLOT", name)
    for first, last, primary, *_ in node.execute_command("CLUSTER", "SLOTS"):
        if first <= slot <= last:
            return int(primary[1])
    raise redis.RedisError("a slot that nobody serves")


def _accepted(sentinel: redis.Redis) -> bool:
    try:
        sentinel.execute_command("SENTINEL", "FAILOVER", SERVICE)
    except redis.ResponseError:
        return False
    return True


@contextmanager
def frozen(server: EmbeddedStore) -> Iterator[None]:
    """A server that stands still, with every connection to it open."""
    pid = server.pid
    assert pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@dataclass
class Watch:
    """Sends one person's request over and over, from several threads."""

    person: Person
    threads: int = 4
    # (moment at which it was sent, status), by the monotonic clock.
    seen: list[tuple[float, int]] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def watching(self) -> Iterator[Watch]:
        running = [threading.Thread(target=self._run) for _ in range(self.threads)]
        for each in running:
            each.start()
        try:
            yield self
        finally:
            self._stop.set()
            for each in running:
                each.join()

    def _run(self) -> None:
        # A connection of its own, which a worker keeps: requests reach all processes.
        http = requests.Session()
        http.trust_env = False
        browser = self.person.browser
        cookies = {"session_id": str(browser.session_key)}
        while not self._stop.is_set():
            sent = time.monotonic()
            try:
                found = http.get(f"{browser.url}{GATED}", cookies=cookies, timeout=20)
                self.seen.append((sent, found.status_code))
            except requests.RequestException:
                self.seen.append((sent, 0))

    def sent_after(self, moment: float) -> list[int]:
        """What requests got that were sent after this moment."""
        return [status for sent, status in list(self.seen) if sent > moment]


@contextmanager
def running_set(folder: Path) -> Iterator[WithSentinels]:
    """A site on a Sentinel set, which elects another primary after a second."""
    with topology.sentinel(folder / "set", 1) as store, ExitStack() as stack:
        between = [stack.enter_context(Proxy(each.url)) for each in store.watchers]
        hosts = ",".join(f"127.0.0.1:{proxy.port}" for proxy in between)
        address = f"redis+sentinel://{hosts}/{SERVICE}"
        site = stack.enter_context(running_site(folder / "site", REDIS_URL=address))
        site.environment["REDIS_URL"] = store.address
        yield WithSentinels(site, store, between)


@contextmanager
def running_cluster(folder: Path) -> Iterator[WithCluster]:
    """A site on a Cluster of three primaries with a replica each."""
    with (
        topology.cluster(folder / "nodes", with_replicas=True) as store,
        running_site(folder / "site", REDIS_URL=store.address) as site,
    ):
        yield WithCluster(site, store)
