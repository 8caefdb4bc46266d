"""The web server's worker: gunicorn's threads, which stay with a busy connection.

After each answer gthread hands the connection back to its one polling thread, which
hands the next request to some thread: two queues, a pipe and two changes of thread, for
a client whose next call is already under way. Here a thread waits LINGER_SECONDS for
that call itself, as long as no other connection wants a thread.

Whoever makes a system call gives up the interpreter lock and may have to queue for it
again. So waiting for a request and reading it are one call here, the head of an answer
goes out with its beginning, and no time-out is set for a body that does not exist.
"""

from __future__ import annotations

import errno
import socket
import struct
import time
from typing import Any

from gunicorn import http, util
from gunicorn.http import wsgi
from gunicorn.http.body import LengthReader
from gunicorn.workers.gthread import ThreadWorker

from backoffice.balance import Board
from backoffice.http_message import Request, Response

LINGER_SECONDS = 0.005
READ_BYTES = 8192

_GONE = frozenset({errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN})
_LINGER = struct.pack("ll", 0, int(LINGER_SECONDS * 1_000_000))
_FOR_EVER = struct.pack("ll", 0, 0)


# Made before the workers are forked from the process that imports this.
_board = Board()


class LingeringWorker(ThreadWorker):  # type: ignore[misc]
    """As gthread, with the same promises and settings, for HTTP/1 without TLS.

    gunicorn's hooks around a request and its access log are not called.
    """

    alive: bool

    def notify(self) -> None:
        """Tells gunicorn that this process lives, and the others what it holds."""
        super().notify()
        _board.tell(self.age, self.nr_conns)

    def accept(self, listener: Any) -> None:
        """Takes one connection, if none of the others was there first."""
        if seconds := _board.patience(self.age, self.nr_conns):
            time.sleep(seconds)
        super().accept(listener)

    def handle(self, conn: Any) -> Any:
        """Serves one request, and those that follow closely on its connection."""
        outcome = super().handle(conn)
        # True: the connection is to be kept. All else is for gthread to deal with.
        while outcome is True and self._may_linger(conn):
            if not conn.parser.unreader.buf.getvalue():
                came = _next_bytes(conn.sock)
                if came is None:
                    break
                conn.parser.unreader.unread(came)
            outcome = self._again(conn)
        return outcome

    def _may_linger(self, conn: Any) -> bool:
        # A worker that is stopping, or has a request waiting, needs its threads.
        return (
            self.alive
            and not conn.is_http2
            and not self.cfg.is_ssl
            and self.tpool._work_queue.empty()
        )

    def _again(self, conn: Any) -> bool:
        """As gthread's `handle`, for a connection that is set up already."""
        conn.parser.mesg_class = Request
        # It was read to its end, or the connection would not have been kept.
        conn.parser.mesg = request = None
        try:
            request = next(conn.parser)
            return self._keepalive_after(conn, self.handle_request(request, conn))
        except (http.errors.NoMoreData, StopIteration):
            return False
        except OSError as error:
            # Nothing more is said on it: part of an answer may be out.
            if error.errno not in _GONE:
                self.log.exception("Socket error processing request.")
            return False
        except Exception as error:
            self.handle_error(request, conn.sock, conn.client, error)
            return False

    def _keepalive_after(self, conn: Any, keepalive: bool) -> bool:
        reader = conn.parser.mesg.body.reader
        if keepalive and isinstance(reader, LengthReader) and reader.length == 0:
            return True
        return bool(super()._keepalive_after(conn, keepalive))

    def handle_request(self, req: Any, conn: Any) -> bool:
        """Has the application answer; tells whether the connection may be kept."""
        response = None
        try:
            response, environ = wsgi.create(
                req, conn.sock, conn.client, conn.server, self.cfg, Response
            )
            environ["wsgi.multithread"] = True
            if self._is_last(conn):
                response.force_close()
            self._answer(environ, response)
        except OSError:
            raise
        except (Exception, SystemExit):
            if response is None or not response.headers_sent:
                raise
            # Part of an answer is out: another one would be read as its rest.
            self.log.exception("Error handling request")
            util.close_graceful(conn.sock)
            raise StopIteration from None
        return not response.should_close()

    def _is_last(self, conn: Any) -> bool:
        """Whether the connection has to end with this request."""
        self.nr += 1
        if self.nr >= self.max_requests and self.alive:
            self.log.info("Autorestarting worker after current request.")
            self.alive = False
        return (
            not self.alive
            or not self.cfg.keepalive
            or len(self.keepalived_conns) >= self.max_keepalived
        )

    def _answer(self, environ: dict[str, Any], response: Response) -> None:
        pieces = self.wsgi(environ, response.start_response)
        try:
            for piece in pieces:
                response.write(piece)
            response.close()
        finally:
            if hasattr(pieces, "close"):
                pieces.close()


def _next_bytes(sock: socket.socket) -> bytes | None:
    """What the client says within LINGER_SECONDS, b"" for its end; None for nothing."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _LINGER)
    try:
        return sock.recv(READ_BYTES)
    except BlockingIOError:
        return None
    except OSError:
        return b""
    finally:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _FOR_EVER)
