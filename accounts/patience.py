"""How long a socket waits, kept by the kernel.

Python's own time-out asks with `poll` before each read and write. That is one more
system call, and one more turn in the queue for the interpreter lock, which on a busy
server takes longer than the call.
"""

from __future__ import annotations

import socket
import ssl
import struct


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
