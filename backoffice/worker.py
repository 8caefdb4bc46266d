"""The web server's worker: gunicorn's threads, which stay with a busy connection.

After each answer gthread hands the connection back to its one polling thread, which
hands the next request to some thread: two queues, a pipe and two changes of thread, for
a client whose next call is already under way. Here a thread waits LINGER_SECONDS for
that call itself, as long as no other connection wants a thread.
"""

from __future__ import annotations

import select
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

LINGER_SECONDS = 0.005


class LingeringWorker(ThreadWorker):  # type: ignore[misc]
    """As gthread, with the same promises and settings."""

    def handle(self, conn: Any) -> Any:
        """Serves one request, and those that follow closely on its connection."""
        outcome = super().handle(conn)
        # True: the connection is to be kept. All else is for gthread to deal with.
        while outcome is True and self._may_linger(conn) and _speaks(conn):
            outcome = super().handle(conn)
        return outcome

    def _may_linger(self, conn: Any) -> bool:
        # A worker that is stopping, or has a request waiting, needs its threads.
        return self.alive and not conn.is_http2 and self.tpool._work_queue.empty()


def _speaks(conn: Any) -> bool:
    poll = select.poll()
    poll.register(conn.sock, select.POLLIN)
    return bool(poll.poll(LINGER_SECONDS * 1000))
