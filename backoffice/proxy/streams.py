"""Ends what a session has open when the session ends.

A call that passed the gate may go on for hours: events, a download, an upload. The gate
has decided once; so one thread per process asks again, for every call older than
GRACE_SECONDS and every CHECK_SECONDS after that, and cuts the calls of dead sessions.
It works from outside, on the sockets, because the thread that serves a call may be
waiting for bytes that never come: from the upstream, or from a client that reads or
sends nothing.

An open call is no use of its session: it does not lengthen the session's life, and is
cut at the idle limit as well. While the store cannot say whether a session lives, its
calls go on for OUTAGE_SECONDS and are cut then: a kill may be waiting in the ledger.
From the kill to the cut it is CHECK_SECONDS, one question to the store, and for a
client that does not listen one round more: below five seconds in the worst case.

A call's total time ends here as well, where it is spent on waiting for the client:
whoever sends an upload byte by byte, or reads nothing, would keep a thread of ours.

Every open call holds a thread, so the long ones are limited, for each session and for
the process: event streams, and all that has been open for LONG_SECONDS. One stream too
many is refused. Another call too many is refused when it becomes long, as long as its
response has not begun; a response that has begun is never broken off for this. Quick
calls are not counted: a page may send any number of them at once.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.db import connections

from accounts.sessions.errors import SessionStoreError
from backoffice.proxy.connection import Call, end_from_outside

log = logging.getLogger("backoffice.streams")

GRACE_SECONDS = 1.0
CHECK_SECONDS = 1.0
OUTAGE_SECONDS = 3.0
LONG_SECONDS = 5.0
# Whoever keeps asking would fill the log with the same line.
LOG_SECONDS = 10.0


@dataclass(slots=True, eq=False)
class OpenCall:
    """A call under way. `is_live` asks the store; it raises SessionStoreError.

    `client` is the socket of the browser's side, where the web server shows it.
    """

    call: Call
    is_live: Callable[[], bool]
    session_id: str
    client: socket.socket | None = None
    confirmed: float = field(default_factory=lambda: time.monotonic())
    is_cut: bool = False
    began: float = field(default_factory=lambda: time.monotonic())
    # Open for as long as somebody looks at a page.
    is_stream: bool = False
    # Whether its response has begun: too late for a refusal.
    has_begun: bool = False
    # Cut because there were too many.
    is_too_many: bool = False

    def is_long(self, now: float) -> bool:
        """Whether it counts among the long ones."""
        return self.is_stream or now - self.began >= LONG_SECONDS


class Streams:
    """The calls that this process has open, and the thread that watches them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: set[OpenCall] = set()
        self._watcher: threading.Thread | None = None
        self._process = 0
        self._refused, self._logged = 0, float("-inf")

    def __len__(self) -> int:
        return len(self._open)

    def enter(self, opened: OpenCall) -> None:
        """From now on this call ends with its session."""
        with self._lock:
            self._open.add(opened)
        if self._watcher is None or self._process != os.getpid():
            self._start()

    def admit_stream(self, opened: OpenCall) -> bool:
        """Counts this call as an event stream from now on, if there is room for one."""
        with self._lock:
            if opened.is_stream:
                return True
            limit = _limit_reached(opened, self._long(), is_stream=True)
            opened.is_stream = limit is None
        if limit:
            self._log_refused(opened, limit)
        return limit is None

    def leave(self, opened: OpenCall) -> None:
        """This call is over. Its sockets are not touched after that."""
        with self._lock:
            self._open.discard(opened)

    def look(self) -> None:
        """One round: asks about each call that is due, and cuts what must end."""
        now = time.monotonic()
        for opened in self._snapshot():
            if opened.is_cut or (_is_due(opened, now) and not _may_go_on(opened)):
                self._cut(opened)
            elif now > opened.call.deadline + GRACE_SECONDS:
                self._end(opened)
        for opened, limit in self._too_many():
            self._refuse(opened, limit)

    def _too_many(self) -> list[tuple[OpenCall, str]]:
        """The long calls beyond a limit, the newest, and which limit it is."""
        with self._lock:
            long = self._long()
        counted = [one for one in long if one.is_stream or one.has_begun]
        found = []
        for opened in sorted(long, key=lambda one: one.began):
            if opened in counted:
                continue
            if limit := _limit_reached(opened, counted, is_stream=False):
                found.append((opened, limit))
            else:
                counted.append(opened)
        return found

    def _refuse(self, opened: OpenCall, limit: str) -> None:
        with self._lock:
            if opened.has_begun or opened not in self._open:
                return
            opened.is_too_many = True
        self._cut(opened)
        self._log_refused(opened, limit)

    def _long(self) -> list[OpenCall]:
        now = time.monotonic()
        return [one for one in self._open if not one.is_cut and one.is_long(now)]

    def _log_refused(self, opened: OpenCall, limit: str) -> None:
        with self._lock:
            self._refused += 1
            now, refused = time.monotonic(), self._refused
            if now - self._logged < LOG_SECONDS:
                return
            self._refused, self._logged = 0, now
        log.warning(
            "requests_refused word=busy limit=%s refused=%d session=%s",
            limit,
            refused,
            opened.session_id,
        )

    def _snapshot(self) -> list[OpenCall]:
        with self._lock:
            return list(self._open)

    def _cut(self, opened: OpenCall) -> None:
        # Under the lock: once it has left, its connection may carry another's call.
        with self._lock:
            if opened not in self._open:
                return
            if opened.is_cut:
                # Still here after a round: it waits for the client, not the upstream.
                end_from_outside(opened.client)
                return
            opened.is_cut = True
            if opened.call.socket is not None:
                end_from_outside(opened.call.socket)
            else:
                end_from_outside(opened.client)
        if not opened.is_too_many:
            log.warning("stream_cut session=%s", opened.session_id)

    def _end(self, opened: OpenCall) -> None:
        # Whoever waits for the upstream has given up a moment ago, and said so.
        with self._lock:
            if opened in self._open:
                end_from_outside(opened.client)

    def _start(self) -> None:
        # At the first call and not at import: a thread does not survive a fork.
        with self._lock:
            if self._watcher is not None and self._process == os.getpid():
                return
            self._process = os.getpid()
            self._watcher = threading.Thread(
                target=self._watch, name="streams", daemon=True
            )
            self._watcher.start()

    def _watch(self) -> None:
        while True:
            time.sleep(CHECK_SECONDS)
            try:
                self.look()
            except Exception:
                log.exception("streams_not_watched")
            finally:
                # The fence may have read the ledger in this thread.
                connections.close_all()


def _limit_reached(
    opened: OpenCall, counted: list[OpenCall], is_stream: bool
) -> str | None:
    """The limit that leaves no room for one more beside these; None where there is."""
    same = [
        one
        for one in counted
        if one.session_id == opened.session_id and one.is_stream == is_stream
    ]
    if len(same) >= settings.LONG_REQUESTS_PER_SESSION:
        return "session"
    if len(counted) >= settings.LONG_REQUESTS_PER_PROCESS:
        return "process"
    return None


def _is_due(opened: OpenCall, now: float) -> bool:
    return now - opened.confirmed >= GRACE_SECONDS


def _may_go_on(opened: OpenCall) -> bool:
    asked = time.monotonic()
    try:
        is_live = opened.is_live()
    except SessionStoreError:
        return asked - opened.confirmed < OUTAGE_SECONDS
    if is_live:
        opened.confirmed = asked
    return is_live


streams = Streams()


def client_socket(environment: dict[str, Any]) -> socket.socket | None:
    """The browser's side of a request, as far as the web server tells."""
    found = environment.get("gunicorn.socket")
    return found if isinstance(found, socket.socket) else None
