from __future__ import annotations

from typing import Any

import redis
from django.conf import settings
from django.core.management import call_command

# An append-only file that is rewritten in the middle of a run takes one of the cores.
SERVER_OPTIONS = ("--auto-aof-rewrite-percentage", "0")


def use_store(url: str) -> None:
    """Points this process at a store; before its first question to one."""
    settings.CACHES[settings.SESSION_STORE_ALIAS]["LOCATION"] = url


def use_database() -> None:
    """Gives this process an empty SQLite in memory, for the ledger and the audit."""
    call_command("migrate", verbosity=0)


def observer(url: str) -> redis.Redis:
    """A client beside the engine's, which may wait as long as it must."""
    return redis.Redis.from_url(url)


def empty(observer: Any) -> None:
    """Empties the store at once; left to itself Valkey frees the memory later."""
    observer.execute_command("FLUSHALL", "SYNC")
