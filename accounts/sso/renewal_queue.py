"""Renewals run beside the requests that make them due, never inside one.

A use of a session is noticed once a minute. If the provider is to be asked again, that
is put into a short queue of this process, and the request goes on: what is learnt acts
on the next one. A queue that is full, as when the provider hangs and everybody is due,
takes nothing more; the same session comes by again a minute later.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

from django.db import connections
from social_django.utils import load_backend, load_strategy

from accounts.sessions import clock
from accounts.sessions.errors import SessionStoreError
from accounts.sessions.record import Record
from accounts.sso import providers, refresh, renewal, sign_in
from accounts.sso.refresh_token import RefreshToken

log = logging.getLogger(__name__)

AT_ONCE = 4
WAITING_AT_MOST = 500

# Threads begin with the first task, so after the web server has forked. They are
# waited for at the end of the process: a token just received must still be kept.
_threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="renewal")
_lock = threading.Lock()
# By what is to be done to which session.
_waiting: dict[str, Future[None]] = {}


def note_use(sender: Any, record: Record, **kwargs: Any) -> None:
    """`touched`: puts a session into the queue whose time has come."""
    held = RefreshToken.of(record.data)
    if held is not None and held.due <= clock.now():
        _put(f"renew {record.id}", lambda: _renew(record.id))


def give_back(record: Record) -> None:
    """Has the refresh token of a session revoked that its person has just ended."""
    held = RefreshToken.of(record.data)
    name = record.data.get(sign_in.SESSION_KEY, {}).get("provider")
    if held is not None and providers.named(name) is not None:
        _put(f"revoke {record.id}", lambda: _revoke(str(name), held.value))


def wait_until_idle(seconds: float = 30) -> bool:
    """Whether everything put in so far is done within this time."""
    with _lock:
        present = list(_waiting.values())
    return not wait(present, seconds).not_done


def _put(name: str, task: Callable[[], None]) -> None:
    with _lock:
        if name in _waiting:
            return
        if len(_waiting) >= WAITING_AT_MOST:
            log.warning("renewal_queue_full task=%s", name)
            return
        try:
            future = _threads.submit(_run, name, task)
        except RuntimeError:
            # The process is ending; another one will see the next use.
            return
        _waiting[name] = future


def _run(name: str, task: Callable[[], None]) -> None:
    try:
        task()
    except SessionStoreError:
        # The store's own words are in the log; the session is due as before.
        return
    except Exception:
        # Nobody waits for this future, so nobody else would ever hear of it.
        log.exception("renewal_broke task=%s", name)
    finally:
        connections.close_all()
        with _lock:
            _waiting.pop(name, None)


def _renew(session_id: str) -> None:
    renewal.renew(session_id)


def _revoke(name: str, value: str) -> None:
    refresh.revoke(load_backend(load_strategy(), name, None), value)
