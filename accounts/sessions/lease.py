"""Keeps this process's lease on the store, beside the requests and not in them.

A process that serves requests runs `start` once. Twice a second the identity of the
store is confirmed, long before the lease runs out; once a second the process carries
out what others wrote into the revocation log and could not deliver. It does so whether
or not there are requests, so an idle process is fenced, too, and a new one from its
start.

Without the thread, as in a command, whoever needs the lease confirms it: `fence.py`.
"""

from __future__ import annotations

import logging
import threading
import time

from django.db import DatabaseError, close_old_connections
from redis.exceptions import RedisError

from accounts.sessions import fence, ledger
from accounts.sessions.connections import client
from accounts.sessions.errors import SessionStoreError

log = logging.getLogger(__name__)

RENEW_SECONDS = 0.5
# Together two seconds, in which an end takes effect that its host could not deliver.
CATCH_UP_SECONDS = 1.0
LEFT_ALONE_SECONDS = 1.0
# Of a confirmation that fails at once, so that it is not repeated without a pause.
PAUSE_SECONDS = 0.05


class Keeper:
    """Renews the lease, and reads the revocation log now and then."""

    def __init__(self) -> None:
        self._problem = ""
        self._caught_up = 0.0

    def run(self) -> None:
        """Goes on until the process ends."""
        while True:
            began = time.monotonic()
            self.step()
            rest = RENEW_SECONDS - (time.monotonic() - began)
            time.sleep(max(PAUSE_SECONDS, rest))

    def step(self) -> None:
        """Renews once; never raises. What goes wrong is logged when it changes."""
        try:
            self._renew()
        except (SessionStoreError, RedisError, OSError, DatabaseError) as error:
            problem = f"{type(error).__name__}: {error}"
            if problem != self._problem:
                log.warning("lease_not_renewed", extra={"problem": problem})
        except Exception as error:
            # A thread that ended would take the lease of its process with it.
            problem = f"{type(error).__name__}: {error}"
            if problem != self._problem:
                log.exception("lease_not_renewed")
        else:
            problem = ""
            if self._problem:
                log.info("lease_renewed")
        finally:
            close_old_connections()
        self._problem = problem

    def _renew(self) -> None:
        fence.confirm(client())
        ledger.raise_fence()
        now = time.monotonic()
        if now - self._caught_up >= CATCH_UP_SECONDS:
            self._caught_up = now
            ledger.catch_up_if_sql_answers(LEFT_ALONE_SECONDS)


def start() -> None:
    """Begins to keep the lease of this process, in a thread of its own."""
    threading.Thread(target=Keeper().run, name="store-lease", daemon=True).start()
