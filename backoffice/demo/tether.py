"""Become another program that dies when the process that started it dies.

Runs alone, as `python -I -S tether.py <parent pid> <program> [argument]...`: nothing of
ours and no site-packages are imported, so it costs about ten milliseconds. A
`preexec_fn` would save those, but it runs Python between fork and exec, where any
lock another thread held stays locked for ever.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h; survives exec, is not inherited by fork


def tether(parent: int) -> None:
    """Ask the kernel for SIGTERM at the parent's death; Linux only."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    # The parent may have died before prctl: then the signal never comes.
    if os.getppid() != parent:
        sys.exit(f"parent {parent} is gone")


if __name__ == "__main__":
    tether(int(sys.argv[1]))
    try:
        os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - a list of ours, no shell
    except OSError as error:
        sys.exit(f"cannot run {sys.argv[2]}: {error.strerror}")
