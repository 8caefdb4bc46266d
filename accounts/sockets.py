"""What the connections to the store and to upstreams ask of their sockets.

How long each waits is kept by the kernel: Python's own time-out asks with `poll` before
each read and write. That is one more system call, and one more turn in the queue for
the interpreter lock, which on a busy server takes longer than the call.
"""

from __future__ import annotations

import select
import socket
import ssl
import struct

_LOOK = int(socket.MSG_PEEK | socket.MSG_DONTWAIT)


def set_patience(sock: socket.socket, seconds: float) -> None:
    """From now on each read and write of this socket waits at most so long.

    Raises TimeoutError then where it is TLS, which only Python can wait for, and
    BlockingIOError where it is not.
    """
    if isinstance(sock, ssl.SSLSocket):
        sock.settimeout(seconds)
        return
    if sock.gettimeout() is not None:
        sock.settimeout(None)
    # Nothing at all would mean for ever (socket(7)).
    value = struct.pack("ll", int(seconds), max(1, int(seconds % 1 * 1_000_000)))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, value)


def is_quiet(sock: socket.socket) -> bool:
    """Whether it is open and nothing has come on it that nobody asked for.

    For one without a time-out of Python's, which would wait here, or with TLS.
    """
    if isinstance(sock, ssl.SSLSocket):
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        return not sock.pending() and not poll.poll(0)
    try:
        sock.recv(1, _LOOK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def has_bytes(sock: socket.socket) -> bool:
    """Whether bytes have come that nobody has read; False when it was only closed.

    For a connection that is given up: with TLS the first of them is taken.
    """
    try:
        if isinstance(sock, ssl.SSLSocket):
            # Asked of TLS itself: what makes the socket readable may be its own, a
            # session ticket for example.
            sock.settimeout(0)
            return bool(sock.recv(1))
        return bool(sock.recv(1, _LOOK))
    except OSError:
        return False
