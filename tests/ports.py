"""Ports for the tests' own servers, which no other test process takes meanwhile.

A free port is only free at the moment of asking: a server that is to start a little
later, or to restart, may find somebody else there. Each process therefore locks the
numbers it takes, in a file that all test runs of this user share, until it ends.
"""

from __future__ import annotations

import fcntl
import os
import random
import tempfile
from functools import cache
from pathlib import Path

from backoffice.demo.ports import LASTING_PORTS, port_is_free

_taken: set[int] = set()


def reserved_port() -> int:
    """A free loopback port that belongs to this process until it ends."""
    candidates = list(LASTING_PORTS)
    random.shuffle(candidates)
    for port in candidates:
        if port not in _taken and _is_locked_now(port) and port_is_free(port):
            _taken.add(port)
            return port
    raise AssertionError("no free port is left for the tests")


def _is_locked_now(port: int) -> bool:
    """Whether this process has the lock on this number: one byte of the file."""
    try:
        fcntl.lockf(_lock_file(os.getpid()), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    return True


@cache
def _lock_file(_pid: int) -> int:
    # Not inherited by a fork, and never closed: closing the file frees every lock.
    path = Path(tempfile.gettempdir()) / f"backoffice-test-ports-{os.getuid()}"
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
