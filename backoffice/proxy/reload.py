"""The route table in force, exchanged while requests go on.

Each process looks at the file at most once a second. A changed file is taken when two
looks in a row found it the same, or it has rested for as long: half a file, seen while
an editor is still writing, may be a valid table in which a route has lost its `groups`.
A table with a problem is not taken. The old one stays in force, the log says what is
wrong, and so does `/readyz`, which stays 200: a site that works must not be taken away
for it.
"""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

from django.conf import settings

from backoffice.proxy.errors import RouteTableError
from backoffice.proxy.route_file import load_routes
from backoffice.proxy.routes import RouteTable

log = logging.getLogger("backoffice.routes")

LOOK_SECONDS = 1.0

Stamp = tuple[int, int, int]
_NO_ROUTES = RouteTable()
_ABSENT: Stamp = (0, 0, 0)


class Watch:
    """One file and the table made of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.looked_at = time.monotonic()
        self.taken = self.seen = _stamp(path)
        self.table = load_routes(path)
        self.problems: tuple[str, ...] = ()
        self._looking = threading.Lock()

    def current(self) -> RouteTable:
        """The table in force. Costs a look at the clock, and once a second a stat."""
        is_due = time.monotonic() - self.looked_at >= LOOK_SECONDS
        # One thread looks, and the others do not wait for it.
        if is_due and self._looking.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._looking.release()
        return self.table

    def _look(self) -> None:
        self.looked_at = time.monotonic()
        before, self.seen = self.seen, _stamp(self.path)
        if self.seen != self.taken and (self.seen == before or _has_rested(self.seen)):
            self._take()

    def _take(self) -> None:
        table, problems = self.table, tuple[str, ...]()
        try:
            table = load_routes(self.path)
        except RouteTableError as error:
            problems = error.problems
        if _stamp(self.path) != self.seen:
            # Somebody is writing just now: this may have been half of it.
            return
        self.taken, self.table, self.problems = self.seen, table, problems
        if problems:
            log.error("routes_refused problems=%s", "; ".join(problems))
        else:
            log.warning("routes_reloaded routes=%d", len(table))


_watches: dict[Path, Watch] = {}


def current_routes() -> RouteTable:
    """The table of `settings.ROUTES_FILE`; without a file no route exists.

    Raises RouteTableError only while no table of this file was ever good.
    """
    path: Path | None = settings.ROUTES_FILE
    if path is None:
        return _NO_ROUTES
    watch = _watches.get(path)
    if watch is None:
        watch = _watches[path] = Watch(Path(path))
    return watch.current()


def read_routes() -> None:
    """Reads the table at the start: it is what a bad one leaves in force.

    Whether the site may start at all was asked before (server.on_starting). A process
    that takes another's place later answers what needs no route.
    """
    if problems := routes_problems():
        log.error("routes_refused problems=%s", "; ".join(problems))


def routes_problems() -> tuple[str, ...]:
    """Why the file as it is now is not in force; empty when it is."""
    try:
        current_routes()
    except RouteTableError as error:
        return error.problems
    path: Path | None = settings.ROUTES_FILE
    return _watches[path].problems if path in _watches else ()


def forget_routes() -> None:
    """Reads the file anew at the next call (for tests that rewrite it)."""
    _watches.clear()


def _stamp(path: Path) -> Stamp:
    try:
        found = path.stat()
    except OSError:
        return _ABSENT
    # Not the time that it was written, which whoever writes can set: a file that was
    # moved into place may be as old and as long, and new rights leave it as it was.
    return found.st_ctime_ns, found.st_size, found.st_ino


def _has_rested(stamp: Stamp) -> bool:
    """Whether it has been as it is for a while, as after a night without calls."""
    return stamp != _ABSENT and time.time() - stamp[0] / 1e9 >= LOOK_SECONDS
