"""Refuses to start with a store that could not keep the promises."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.db import connection
from redis.connection import parse_url

from accounts.sessions import clock, fence, ledger
from accounts.sessions.connections import answering, client
from accounts.sessions.errors import SessionStoreError, StoreUnavailable

# With two, each is needed for a majority.
FEWEST_SENTINELS = 3
TIMEOUTS = ("socket_timeout", "socket_connect_timeout")


def check_store(**kwargs: Any) -> list[CheckMessage]:
    """Before every start."""
    cache = settings.CACHES[settings.SESSION_STORE_ALIAS]
    options = cache.get("OPTIONS", {})
    return [
        *_check_options(options),
        *_check_alias(cache),
        *_check_policy(),
        *_check_clocks(),
        *_check_sentinels(options),
    ]


def _check_options(options: dict[str, Any]) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    if "pickle" in options.get("SERIALIZER", "pickle").lower():
        message = "The session store must not use pickle: who writes to it runs code."
        found.append(Error(message, id="accounts.E001"))
    ignoring = options.get("IGNORE_EXCEPTIONS") or getattr(
        settings, "DJANGO_REDIS_IGNORE_EXCEPTIONS", False
    )
    if ignoring:
        message = "The session store must not ignore errors: a failed kill looks done."
        found.append(Error(message, id="accounts.E002"))
    pool = options.get("CONNECTION_POOL_KWARGS", {})
    if not all(0 < pool.get(name, 0) <= 1 for name in TIMEOUTS):
        message = "The session store needs time-outs of at most one second."
        found.append(Error(message, id="accounts.E003"))
    return found


def _check_alias(cache: dict[str, Any]) -> list[CheckMessage]:
    ours = _places(cache)
    shared = [
        name
        for name, other in settings.CACHES.items()
        if name != settings.SESSION_STORE_ALIAS and ours & _places(other)
    ]
    if not shared:
        return []
    message = f"The cache {shared[0]!r} shares the session store: clear() empties it."
    return [Error(message, id="accounts.E004")]


def _places(cache: dict[str, Any]) -> set[tuple[Any, ...]]:
    """The databases behind this alias, however they are written."""
    location = cache.get("LOCATION") or ()
    urls = [location] if isinstance(location, str) else list(location)
    return {_place(url) for several in urls for url in several.split(",")}


def _place(url: str) -> tuple[Any, ...]:
    try:
        said = parse_url(url)  # type: ignore[no-untyped-call]
    except ValueError:
        return (url,)
    parts = {"host": "localhost", "port": 6379, "path": "", "db": 0, **said}
    where = ("path",) if parts["path"] else ("host", "port")
    return (*(parts[name] for name in where), parts["db"])


def check_cookie(**kwargs: Any) -> list[CheckMessage]:
    """At `check --deploy`: on this machine alone the site may do without https."""
    if settings.SESSION_COOKIE_SECURE and settings.SESSION_COOKIE_NAME.startswith(
        "__Host-"
    ):
        return []
    message = "The session cookie must be Secure and its name begin with __Host-."
    return [Error(message, id="accounts.E005")]


def _check_policy() -> list[CheckMessage]:
    try:
        with answering():
            facts = client().info("memory")
    except StoreUnavailable as error:
        # Not an error: an outage of the store must not keep the site from starting.
        message = f"The session store cannot be asked for its settings: {error.cause}."
        return [Warning(message, id="accounts.W001")]
    if facts.get("maxmemory_policy") == "noeviction":
        return []
    message = "The session store must have maxmemory-policy noeviction."
    return [Error(message, id="accounts.E006")]


def _check_clocks() -> list[CheckMessage]:
    """How far this host's clock is off; nobody is asked who does not answer."""
    with suppress(SessionStoreError), answering():
        fence.confirm(client())
    skews = {"accounts.W002": ("session store", clock.skew())}
    if connection.vendor == "postgresql":
        skews["accounts.W003"] = "database", time.time() - ledger.sql_now()
    return [
        Warning(
            f"This host's clock and that of the {other} differ by {abs(skew):.0f} "
            "seconds: sign-ins fail where ID tokens seem to be from another time.",
            hint="Have all hosts set their clocks by NTP.",
            id=check_id,
        )
        for check_id, (other, skew) in skews.items()
        if skew is not None and abs(skew) > clock.SKEW_SECONDS
    ]


def _check_sentinels(options: dict[str, Any]) -> list[CheckMessage]:
    sentinels = options.get("SENTINELS") or ()
    # For a Cluster the same option holds its nodes.
    is_set = options.get("CONNECTION_FACTORY", "").endswith(".sentinel")
    if not is_set or len(sentinels) >= FEWEST_SENTINELS:
        return []
    message = (
        f"REDIS_URL names {len(sentinels)} of the sentinels: more than half of those "
        "named must answer, so the site stops when one of them does."
    )
    hint = "Run three sentinels on three machines, and name all of them."
    return [Warning(message, hint=hint, id="accounts.W004")]
