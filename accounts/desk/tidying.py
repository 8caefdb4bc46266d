"""Clears up after the end of everyone, beside the answer to whoever ordered it.

They are dead from the mark on, and so is the admin, who could not send the steps of a
long ending. So a thread of this process removes what is left of them, in batches; what
it does not get to, `purge_sessions` does.
"""

from __future__ import annotations

import logging
import time
from threading import Thread

from django.db import connections

from accounts.sessions import live
from accounts.sessions.errors import SessionStoreError

log = logging.getLogger(__name__)

# When everyone signs in again at once, the store may be slow for a while.
PAUSES = (1.0, 5.0, 30.0)


def begin() -> Thread:
    """Starts it; the thread ends by itself."""
    thread = Thread(target=_clear_up, name="clear-up", daemon=True)
    thread.start()
    return thread


def _clear_up() -> None:
    try:
        # It goes on where it stopped: what is gone is not looked for again.
        for pause in PAUSES:
            if _is_cleared_up():
                return
            time.sleep(pause)
        _is_cleared_up()
    finally:
        connections.close_all()


def _is_cleared_up() -> bool:
    try:
        log.info("cleared_up sessions=%d", live.clear_up())
    except SessionStoreError as error:
        log.warning("clear_up_unfinished because=%s", error.cause)
        return False
    return True
