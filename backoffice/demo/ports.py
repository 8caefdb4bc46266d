from __future__ import annotations

import errno
import random
import socket

from backoffice.demo.errors import DemoError

LOOPBACK = "127.0.0.1"
# Below the range from which systems take ports for outgoing connections: a remembered
# port is then still free tomorrow.
LASTING_PORTS = range(20_000, 32_000)


def port_is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen there now.

    Raises DemoError for a port this user may not open at all.
    """
    with socket.socket() as candidate:
        # A port whose old connections are still winding down counts as free.
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((host, port))
        except PermissionError as error:
            raise DemoError(f"port {port} may not be opened by this user") from error
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise DemoError(f"port {port}: {error.strerror}") from error
            return False
    return True


def lasting_port(avoid: frozenset[int] = frozenset()) -> int:
    """A free port that is likely to be free again at the next start."""
    candidates = list(LASTING_PORTS)
    random.shuffle(candidates)
    for port in candidates:
        if port not in avoid and port_is_free(port):
            return port
    raise DemoError("no free port between 20000 and 32000")


def free_port() -> int:
    """A port that is free at this moment, chosen by the system."""
    with socket.socket() as candidate:
        candidate.bind((LOOPBACK, 0))
        port: int = candidate.getsockname()[1]
        return port
