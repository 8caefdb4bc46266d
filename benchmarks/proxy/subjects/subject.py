from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

import requests

from backoffice.demo import site
from backoffice.demo.children import Child, wait_until
from backoffice.demo.ports import lasting_port
from benchmarks.proxy.ground import Ground

START_SECONDS = 60
PATH = "/api/proxy/bench/"


class StartError(Exception):
    """A subject did not start, or does not answer as it must."""


def ask(method: str, url: str, cookie: str = "") -> requests.Response:
    """One request, past every proxy of this machine, with this Cookie field or none."""
    headers = {"Cookie": cookie} if cookie else {}
    with requests.Session() as http:
        http.trust_env = False
        return http.request(
            method, url, headers=headers, timeout=10, allow_redirects=False
        )


class Subject(ABC):
    """One gate and proxy under test.

    `cookie` is the Cookie field of a live session, `dead_cookie` of one that is none;
    both are known once started.
    """

    name: str
    title: str
    is_door = False
    refuses = True
    cookie = ""
    dead_cookie = ""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.port = lasting_port()
        self.children: list[Child] = []
        self.folder = ground.new_folder(self.name.replace(" ", "-"))

    @classmethod
    def missing(cls) -> str:
        """Why it cannot take part here; "" when it can."""
        return ""

    @abstractmethod
    def start(self) -> None:
        """Start everything and sign in. Raises StartError."""

    @property
    def url(self) -> str:
        return f"{self.origin}{PATH}"

    @property
    def origin(self) -> str:
        return f"http://localhost:{self.port}"

    @property
    def pids(self) -> list[int]:
        """The processes whose time and memory are its own, without their children."""
        return [child.pid for child in self.children]

    def stop(self) -> None:
        for child in reversed(self.children):
            child.stop(10)

    def run(
        self,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        """Starts one process, and waits until it takes connections on our port."""
        child = Child(
            self.name,
            command,
            log=self.folder / "log",
            environment={**site.inherited(os.environ), **(environment or {})},
            folder=folder or self.folder,
        )
        self.children.append(child)
        wait_until(lambda: not child.is_alive() or self._answers(), START_SECONDS)
        if not child.is_alive() or not self._answers():
            raise StartError(f"{self.title} did not start:\n{child.last_lines()}")

    def check(self) -> None:
        """200 and the upstream's own body with the session, 401 without and with a dead
        one. Raises StartError.
        """
        self._expect(self.cookie, 200)
        if self.refuses:
            self._expect("", 401)
            self._expect(self.dead_cookie, 401)

    def _expect(self, cookie: str, status: int) -> None:
        answer = ask("GET", self.url, cookie)
        is_right = answer.status_code == status
        if status == 200:
            is_right = is_right and answer.content == self.ground.json
        if not is_right:
            what = f"{answer.status_code}, {len(answer.content)} bytes"
            raise StartError(f"{self.title}: {what} where {status} was due")

    def _answers(self) -> bool:
        try:
            ask("GET", self.origin)
        except requests.RequestException:
            return False
        return True


class SelfMade(Subject):
    """A peer of our own making, whose POST /sign-in begins a session."""

    def sign_in(self) -> None:
        answer = ask("POST", f"{self.origin}/sign-in")
        answer.raise_for_status()
        found = next(iter(answer.cookies))
        self.cookie = f"{found.name}={found.value}"
        self.dead_cookie = f"{found.name}={'0' * len(str(found.value))}"
