"""Starts the demo, watches over it, and leaves nothing behind."""

from __future__ import annotations

import http.client
import io
import json
import os
import sys
import time
import unicodedata
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Protocol

from backoffice.demo import site
from backoffice.demo.children import Child
from backoffice.demo.errors import DemoError
from backoffice.demo.ports import LOOPBACK, port_is_free
from backoffice.demo.private_file import write_private
from backoffice.demo.staff import STAFF
from backoffice.demo.state_folder import Ports, StateFolder
from backoffice.demo.stop_signal import LOOK_SECONDS, StopSignal
from backoffice.demo.store import EmbeddedStore

REPOSITORY = Path(__file__).resolve().parents[2]
START_SECONDS = 60.0
PREPARE_SECONDS = 300.0

PREPARATION = (
    ("migrate", [sys.executable, "manage.py", "migrate", "--noinput", "-v0"]),
    ("static", [sys.executable, "manage.py", "collectstatic", "--noinput", "-v0"]),
)
SITE = [
    *(sys.executable, "-m", "gunicorn"),
    *("-c", "backoffice/server.py", "backoffice.wsgi"),
]
Preparation = Sequence[tuple[str, Sequence[str]]]


class Stopped(Exception):
    """Someone asked us to stop before everything was up."""


class Part(Protocol):
    """A running part of the demo: a child process or the store."""

    name: str

    def is_alive(self) -> bool: ...
    def last_lines(self) -> str: ...
    def stop(self) -> None: ...


class Demo:
    """The running demo; parts stop in the reverse order of their start."""

    def __init__(
        self, state: StateFolder, ports: Ports, stop_signal: StopSignal
    ) -> None:
        self.state = state
        self.ports = ports
        self.secrets = state.secrets()
        self.stop_signal = stop_signal
        self.parts: list[Part] = []

    def start(self, site_command: Sequence[str], preparation: Preparation) -> None:
        """Start every part; raises DemoError, or Stopped if a signal came first."""
        folder, ports = self.state.path, self.ports
        write_private(folder / "routes.toml", site.routes(ports))
        clients = json.dumps(site.clients(ports, self.secrets))
        write_private(folder / "clients.json", clients)
        store = EmbeddedStore(folder / "store", log=self.state.logs / "store.log")
        self.parts.append(store.start())
        environment = site.environment(
            os.environ,
            folder=folder,
            ports=ports,
            secrets=self.secrets,
            store_url=store.url,
        )
        self._start_neighbours()
        for name, command in preparation:
            self._finish(name, command, environment)
        self._run("site", site_command, environment)
        self._await("/.well-known/openid-configuration", ports.provider)
        self._await("/", ports.upstream)
        self._await("/livez", ports.site)

    def watch(self) -> None:
        """Return when asked to stop; raises DemoError if a part dies."""
        while not self.stop_signal.came:
            self._check()
            time.sleep(LOOK_SECONDS)

    def stop(self) -> None:
        """Stop what runs: the site first, so that it never misses a neighbour."""
        while self.parts:
            self.parts.pop().stop()

    def _start_neighbours(self) -> None:
        environment = {**site.inherited(os.environ), "DEBUG": "true"}
        python = [sys.executable, "-m"]
        upstream = ["backoffice.demo.upstream", "--port", str(self.ports.upstream)]
        provider = [
            *("backoffice.demo.provider", "--port", str(self.ports.provider)),
            *("--clients", str(self.state.path / "clients.json")),
            *("--memory", str(self.state.path / "provider.json")),
        ]
        self._run("upstream", [*python, *upstream], environment)
        self._run("provider", [*python, *provider], environment)

    def _run(
        self, name: str, command: Sequence[str], environment: Mapping[str, str]
    ) -> Child:
        log = self.state.logs / f"{name}.log"
        child = Child(
            name, command, log=log, environment=environment, folder=REPOSITORY
        )
        self.parts.append(child)
        return child

    def _finish(
        self, name: str, command: Sequence[str], environment: Mapping[str, str]
    ) -> None:
        """Run a command to its end; raises DemoError if that is not a good one."""
        child = self._run(name, command, environment)
        self.parts.remove(child)
        deadline = time.monotonic() + PREPARE_SECONDS
        try:
            while child.is_alive() and time.monotonic() < deadline:
                self._pause()
        finally:
            child.stop()
        if child.exit_code != 0:
            raise DemoError(f"{name} failed:\n{child.last_lines()}")

    def _await(self, path: str, port: int) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not answers(port, path):
            self._pause()
            if time.monotonic() > deadline:
                name, lines = self.parts[-1].name, self.parts[-1].last_lines()
                raise DemoError(f"port {port} does not answer {path}; {name}:\n{lines}")

    def _pause(self) -> None:
        if self.stop_signal.came:
            raise Stopped
        self._check()
        time.sleep(0.05)

    def _check(self) -> None:
        for part in self.parts:
            if not part.is_alive():
                raise DemoError(f"the {part.name} ended:\n{part.last_lines()}")


def run(
    site_command: Sequence[str] = SITE, preparation: Preparation = PREPARATION
) -> int:
    """Run the demo until someone stops it; the exit code.

    0 after a signal, 1 with one line (and the log's end of a part that died) otherwise.
    """
    stop_signal = StopSignal()
    with ExitStack() as closing:
        try:
            port = site_port(os.environ)
            state = StateFolder(
                Path(os.environ.get("DEMO_DIR") or REPOSITORY / ".demo")
            )
            closing.callback(state.close)
            if not port_is_free(port):
                raise DemoError(f"port {port} is busy: choose another, PORT=8001")
            demo = Demo(state, state.ports(port, say), stop_signal)
            closing.callback(demo.stop)
            demo.start(site_command, preparation)
            say(greeting(demo))
            demo.watch()
        except DemoError as error:
            complain(str(error))
            return 1
        except OSError as error:
            complain(f"{error.filename or 'demo'}: {error.strerror}")
            return 1
        except Stopped:
            return 0
    return 0


def site_port(environment: Mapping[str, str]) -> int:
    """PORT, 8000 unless set; raises DemoError for what is no port."""
    text = environment.get("PORT") or "8000"
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65_536):
        raise DemoError(f"PORT is not a port: {text!r}")
    return int(text)


def answers(port: int, path: str) -> bool:
    """Whether a GET there is answered with 200."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def greeting(demo: Demo) -> str:
    """What to do now, and as whom."""
    lines = ["", f"  Backoffice   {site.site_url(demo.ports)}/", "", "  Sign in as"]
    lines += [
        f"    {padded(person.name, 15)}{padded(person.department, 18)}"
        f"{', '.join(person.groups)}"
        for person in STAFF
    ]
    lines += [
        "",
        f"  Provider     {site.issuer(demo.ports)}/dev   end a sign-in there",
        f"  Upstream     {site.upstream_url(demo.ports)}/",
        f"  Logs         {demo.state.logs}",
        "",
        "  Ctrl-C stops everything; the sessions are kept for the next start.",
        "",
    ]
    return "\n".join(lines)


def padded(text: str, columns: int) -> str:
    """The text filled up to so many columns; a Korean letter takes two."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return text + " " * max(columns - len(text) - wide, 1)


def say(text: str) -> None:
    write(sys.stdout, text)


def complain(text: str) -> None:
    write(sys.stderr, text)


def write(stream: object, text: str) -> None:
    """Write a line if there is anyone to read it: the terminal may be gone."""
    if not isinstance(stream, io.TextIOWrapper):
        return
    stream.reconfigure(errors="backslashreplace")
    with suppress(OSError):
        stream.write(f"{text}\n")
        stream.flush()
