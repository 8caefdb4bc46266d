"""Child processes that never outlive us, not even when we are killed with SIGKILL.

Each child leads its own session. A Ctrl-C in the terminal therefore reaches only us,
who know the order in which things must stop, and whatever a child leaves behind can
be ended with its process group.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

TETHER = Path(__file__).with_name("tether.py")
POLL_SECONDS = 0.01

# Holds the reading end of our pipe: a word means "all is well, go", the end of the file
# that we are dead.
WATCHDOG = 'read -r word || kill -TERM "$1"'


class Child:
    """One running child process and the file its output goes to."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        kernel_tether: bool | None = None,
    ) -> None:
        """Start the command at once; a missing program shows as an exit and a log line.

        `kernel_tether` chooses between the kernel's parent-death signal and the
        portable watchdog; None takes what this platform and thread allow.
        """
        self.name = name
        self.log = log
        if kernel_tether is None:
            kernel_tether = kernel_tether_is_safe()
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                tethered(command) if kernel_tether else list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=None if environment is None else dict(environment),
                cwd=folder,
                start_new_session=True,
            )
        self.watchdog = None if kernel_tether else Watchdog(self.process.pid)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; the negative signal number if a signal ended it."""
        return self.process.poll()

    def is_alive(self) -> bool:
        return self.process.poll() is None

    def last_lines(self, count: int = 12) -> str:
        """The end of what it wrote, for a message to a person."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-count:])

    def stop(self, timeout: float = 5.0) -> None:
        """Ask it to end, wait at most `timeout` seconds, then end its whole group."""
        if self.is_alive():
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout)
        self.kill()

    def kill(self) -> None:
        """SIGKILL to it and to whatever it started."""
        # The group keeps its number as long as one member lives, so this cannot hit a
        # stranger while there is something to hit.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        if self.watchdog is not None:
            self.watchdog.dismiss()


class Watchdog:
    """A tiny shell that ends a process when we die, where the kernel will not."""

    def __init__(self, pid: int) -> None:
        self.process = subprocess.Popen(
            ["/bin/sh", "-c", WATCHDOG, "watchdog", str(pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def dismiss(self) -> None:
        """Let it go without harm; must follow the death of the watched process soon.

        Until then a process that got the same number could be hit instead.
        """
        with suppress(BrokenPipeError):
            self.process.communicate(b"dismissed\n")


def kernel_tether_is_safe() -> bool:
    """Whether the parent-death signal exists here and will not fire too early.

    The kernel's "parent" is the thread that forked: the signal would come when a pool's
    worker thread ends, so only children of the main thread are tethered that way.
    """
    on_linux = sys.platform.startswith("linux")
    return on_linux and threading.current_thread() is threading.main_thread()


def tethered(command: Sequence[str]) -> list[str]:
    """The same command, by way of `tether.py`."""
    return [sys.executable, "-I", "-S", str(TETHER), str(os.getpid()), *command]


def wait_until(condition: Callable[[], bool], timeout: float) -> bool:
    """Whether the condition came true within `timeout` seconds; asks often."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True
