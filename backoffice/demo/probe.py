"""What stands behind a store address, asked on a connection of its own, once."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ConnectionError,
    RedisError,
    ResponseError,
    TimeoutError,
)
from redis.retry import Retry

ANSWER_SECONDS = 2.0


class Presence(StrEnum):
    NOBODY = "nobody listens"
    LOADING = "a server is still reading its files"
    SILENT = "a server takes the connection and then says nothing"
    READY = "a server answers, be it by asking for a password"


def presence(url: str) -> Presence:
    """Who is there, in at most ANSWER_SECONDS."""
    try:
        with connection(url) as store:
            store.ping()
    except (AuthenticationError, ResponseError):
        return Presence.READY
    except BusyLoadingError:
        return Presence.LOADING
    except TimeoutError:
        return Presence.SILENT
    except ConnectionError:
        return Presence.NOBODY
    return Presence.READY


def whereabouts(url: str) -> tuple[Path, int] | None:
    """The data folder and process id of the server there; None if it will not say."""
    try:
        with connection(url) as store:
            folder, server = store.config_get("dir")["dir"], store.info("server")
        return Path(folder), int(server["process_id"])
    except (RedisError, KeyError, TypeError, ValueError):
        return None


def connection(url: str) -> Redis:
    """A client without the retries that redis-py adds by itself."""
    return Redis.from_url(
        url,
        socket_timeout=ANSWER_SECONDS,
        socket_connect_timeout=ANSWER_SECONDS,
        retry=Retry(NoBackoff(), 0),
        decode_responses=True,
    )
