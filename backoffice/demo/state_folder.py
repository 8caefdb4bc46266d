"""What a demo keeps between two starts, in `.demo/`: private to this user.

The secrets and the ports stay the same, so that a second start finds the sessions of
the first and the identity provider keeps its name.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from backoffice.demo.errors import DemoError
from backoffice.demo.ports import lasting_port, port_is_free
from backoffice.demo.private_file import write_private
from backoffice.demo.store import make_writable


@dataclass(frozen=True, slots=True)
class Secrets:
    secret_key: str
    client_secret: str


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the parts of the demo listen, on loopback."""

    site: int
    provider: int
    upstream: int


class StateFolder:
    """The folder, locked for this process as long as it lives."""

    def __init__(self, path: Path) -> None:
        """Make and lock the folder; raises DemoError if it is in use or unusable."""
        self.path = path.resolve()
        make_writable(self.path)
        self.logs = self.path / "logs"
        self.logs.mkdir(exist_ok=True)
        self._lock = locked(self.path / "lock")

    def secrets(self) -> Secrets:
        """The demo's secrets, made at the first start."""
        path = self.path / "secrets.json"
        if not path.exists():
            made = {
                "secret_key": secrets.token_urlsafe(48),
                "client_secret": secrets.token_urlsafe(32),
            }
            write_private(path, json.dumps(made))
        try:
            return Secrets(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise DemoError(f"{path} is damaged; remove it to start afresh") from error

    def ports(self, site: int, say: Callable[[str], None]) -> Ports:
        """The remembered ports; a busy one is replaced, and said so."""
        path = self.path / "ports.json"
        remembered = read_numbers(path)
        chosen: dict[str, int] = {}
        for name in ("provider", "upstream"):
            port = remembered.get(name)
            taken = frozenset({site, *chosen.values()})
            if port is None or port in taken or not port_is_free(port):
                chosen[name] = lasting_port(avoid=taken)
            else:
                chosen[name] = port
            if port not in (None, chosen[name]):
                say(f"Port {port} is busy: the {name} moves to {chosen[name]}.")
        write_private(path, json.dumps(chosen))
        return Ports(site=site, **chosen)

    def close(self) -> None:
        """Give the lock back."""
        self._lock.close()


def locked(path: Path) -> IO[str]:
    """The lock file, held until it is closed or this process dies.

    The kernel lets go of the lock even after SIGKILL, so no stale lock can exist.
    """
    file = path.open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.seek(0)
        owner = file.read().strip()
        file.close()
        raise DemoError(f"the demo is already running as pid {owner}") from error
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def read_numbers(path: Path) -> dict[str, int]:
    """The numbers of a JSON object; nothing if the file is missing or damaged."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return {name: int(value) for name, value in data.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
