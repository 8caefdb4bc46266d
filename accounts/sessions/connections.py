"""Connections to the store, made by django-redis for the alias `sessions`.

Three django-redis connection factories, one for each form of REDIS_URL, and the one
place where a failure of the client library becomes a StoreUnavailable.
"""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager
from queue import Empty
from typing import Any, ClassVar

import redis
from django.conf import settings
from django_redis import get_redis_connection
from django_redis.pool import ConnectionFactory, SentinelConnectionFactory
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.connection import SSLConnection, parse_url
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    MaxConnectionsError,
    MovedError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
)
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)
from redis.retry import Retry
from redis.sentinel import SentinelManagedSSLConnection

from accounts.sessions import fence, outages
from accounts.sessions.errors import StoreUnavailable
from accounts.sessions.primary import MajoritySentinel, NoMajority, is_tls_failure

log = logging.getLogger(__name__)


class Nonsense(RedisError):
    """The store answered, but not what was asked."""


_CAUSES: tuple[tuple[type[Exception], str], ...] = (
    (Nonsense, "nonsense"),
    (BusyLoadingError, "loading"),
    (ReadOnlyError, "read-only"),
    (OutOfMemoryError, "out-of-memory"),
    (AuthenticationError, "not-authenticated"),
    (MovedError, "moved"),
    (MaxConnectionsError, "pool-used-up"),
    (RedisTimeoutError, "timeout"),
    (RedisConnectionError, "unreachable"),
    # No node of a Cluster could be reached; the library has it outside its own tree.
    (RedisClusterException, "unreachable"),
    (RedisError, "refused"),
    (OSError, "unreachable"),
    (Exception, "nonsense"),
)
# What reading an answer of another form than expected ends in.
_MISREAD = (TypeError, ValueError, LookupError, AttributeError, MemoryError)
_FAILURES = (RedisError, RedisClusterException, OSError, *_MISREAD)
PARSER = "accounts.sessions.deadline.DeadlineParser"
_found: tuple[object, Any] = (None, None)


def client() -> Any:
    """The raw client of the session store (`redis.Redis` or `RedisCluster`)."""
    global _found
    # Clients share one pool for the whole process; what django-redis goes through to
    # hand out another one for each thread costs a tenth of a gate check.
    if _found[0] is not settings.CACHES:
        _found = (settings.CACHES, get_redis_connection(settings.SESSION_STORE_ALIAS))
    return _found[1]


def forget() -> None:
    """Starts anew, as a new process does."""
    global _found
    _found = (None, None)


class _Answering:
    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if not isinstance(error, _FAILURES):
            return
        cause = _cause(error)
        if cause == "nonsense":
            _hang_up()
        if cause != "pool-used-up":
            fence.lower()
            outages.note(cause)
        log.warning("store_unavailable cause=%s error=%s", cause, type(error).__name__)
        raise StoreUnavailable(cause) from error


_answering = _Answering()


def answering() -> AbstractContextManager[None]:
    """A context whose every failure to get an answer is a StoreUnavailable, logged.

    Only questions to the store belong inside: what goes wrong here is the store's.
    """
    # Keeps nothing, so that one will do; a generator for each costs more than the rest.
    return _answering


def is_cluster(store: Any) -> bool:
    """Whether one command may name only keys of one slot."""
    # Its class checks protocols, which makes isinstance() twenty times as slow.
    return type(store) is RedisCluster


def _hang_up() -> None:
    # Whatever else is still on these connections, nobody must get it.
    store = client()
    if is_cluster(store):
        store.disconnect_connection_pools()
    else:
        store.connection_pool.disconnect()


def _cause(error: Exception) -> str:
    # The pool's own "nothing free in time" comes as a ConnectionError, and so does the
    # kernel's "nothing more to be sent in time".
    if isinstance(error.__context__, Empty):
        return "pool-used-up"
    if isinstance(error.__context__, BlockingIOError):
        return "timeout"
    if isinstance(error, NoMajority):
        return error.cause
    if is_tls_failure(error):
        return "tls"
    return next(word for kind, word in _CAUSES if isinstance(error, kind))


def _bounded(options: dict[str, Any]) -> dict[str, Any]:
    # No hidden retry: each attempt would cost its own time-out while a person waits,
    # and a write whose answer was lost must not be sent twice.
    pool = {
        "retry": Retry(NoBackoff(), 0),
        "redis_connect_func": fence.inspect,
        "driver_info": None,
        "protocol": 2,
        **options["CONNECTION_POOL_KWARGS"],
    }
    # A new dict: what came in is the settings' own, and the next form of store begins
    # from it.
    return {**options, "CONNECTION_POOL_KWARGS": pool, "PARSER_CLASS": PARSER}


def single(options: dict[str, Any]) -> ConnectionFactory:
    """One server. Threads wait for a free connection, but not for long."""
    options = _bounded(options)
    options["CONNECTION_POOL_CLASS"] = "accounts.sessions.pool.Pool"
    options["CONNECTION_POOL_KWARGS"]["timeout"] = settings.STORE_TIMEOUT_SECONDS
    return ConnectionFactory(options)


def _tls_options(url: str) -> dict[str, Any]:
    """What a `rediss` address says of TLS, as a client takes it; empty without TLS."""
    found: dict[str, Any] = parse_url(url)
    if found.get("connection_class") is not SSLConnection:
        return {}
    options = {name: found[name] for name in found if name.startswith("ssl_")}
    return {"ssl": True, **options}


class _SentinelFactory(SentinelConnectionFactory):
    """Connects to the primary that a majority of the sentinels names."""

    def get_connection_pool(self, params: dict[str, Any]) -> Any:
        tls = _tls_options(params["url"])
        if tls:
            # Else the library would make connections that ask no sentinel.
            params = {**params, "connection_class": SentinelManagedSSLConnection}
        pool: Any = super().get_connection_pool(params)
        options = {**self.options["SENTINEL_KWARGS"], **tls}
        majority = MajoritySentinel(
            redis.Redis(host, port, **options)
            for host, port in self.options["SENTINELS"]
        )
        pool.sentinel_manager = pool.proxy.sentinel_manager = majority
        return pool


def sentinel(options: dict[str, Any]) -> SentinelConnectionFactory:
    """A Sentinel set. The URL says `is_master=1`: reads go to the primary too."""
    options = _bounded(options)
    options["CONNECTION_POOL_CLASS"] = "accounts.sessions.pool.SentinelPool"
    pool = options["CONNECTION_POOL_KWARGS"]
    waits = {name: pool[name] for name in pool if name.startswith("socket_")}
    # One sentinel that is away must not be waited for three times.
    options["SENTINEL_KWARGS"] = {
        **options.get("SENTINEL_KWARGS", {}),
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
        "driver_info": None,
        **waits,
    }
    return _SentinelFactory(options)


class _ClusterFactory(ConnectionFactory):
    """django-redis has no Cluster client; this hands out one RedisCluster per URL."""

    _clusters: ClassVar[dict[str, RedisCluster]] = {}

    def connect(self, url: str) -> Any:
        if url not in self._clusters:
            kwargs = dict(self.options["CONNECTION_POOL_KWARGS"])
            kwargs.pop("retry")
            nodes = [ClusterNode(h, p) for h, p in self.options["SENTINELS"]]
            address = parse_url(url)
            for name in ("host", "port", "db", "connection_class"):
                address.pop(name, None)
            address |= _tls_options(url)
            self._clusters[url] = RedisCluster(
                startup_nodes=nodes, retry=Retry(NoBackoff(), 1), **address, **kwargs
            )
        return self._clusters[url]


def cluster(options: dict[str, Any]) -> ConnectionFactory:
    """A Cluster; every operation here touches one slot at a time."""
    return _ClusterFactory(_bounded(options))
