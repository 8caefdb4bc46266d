from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings

from accounts.profile import StaffProfile
from backoffice.proxy.errors import RouteTableError
from backoffice.proxy.route_values import CHECKS, READS, Identity

_HEAD = re.compile(r"\s*\[\[\s*[\"']?route[\"']?\s*\]\]\s*(#.*)?")


@dataclass(frozen=True, slots=True)
class Route:
    """One internal API: where it is, who may call it, and how long it may take.

    `groups`: any of these; empty = every staff member. Timeouts in seconds:
    `read_timeout` between two pieces, `total_timeout` for the whole call, upload
    and streamed answer included. `max_body` in bytes of request body. `ca_file`:
    who signs the upstream's certificate, if no public authority does.
    """

    name: str
    upstream: str
    groups: frozenset[str] = frozenset()
    methods: frozenset[str] = READS
    connect_timeout: float = 2.0
    read_timeout: float = 30.0
    total_timeout: float = 60.0
    max_body: int = 10 * 1024 * 1024
    identity: Identity = Identity.HEADERS
    ca_file: str | None = None

    @property
    def allow(self) -> str:
        """The value of an Allow field (RFC 9110, 10.2.1)."""
        return ", ".join(sorted(self.methods))

    def admits(self, profile: StaffProfile) -> bool:
        """Whether this person may call the route at all."""
        return not self.groups or profile.belongs_to(self.groups)


class RouteTable:
    """The routes by name, in the order in which the file has them."""

    def __init__(self, routes: Sequence[Route] = ()) -> None:
        self._routes = {route.name: route for route in routes}

    def __iter__(self) -> Iterator[Route]:
        return iter(self._routes.values())

    def __len__(self) -> int:
        return len(self._routes)

    def find(self, name: str) -> Route | None:
        return self._routes.get(name)

    def routes_for(self, profile: StaffProfile) -> list[Route]:
        """What this person may reach, for a page that shows it."""
        return [route for route in self if route.admits(profile)]


def current_routes() -> RouteTable:
    """The table of `settings.ROUTES_FILE`; without a file no route exists.

    Read once per process, so that all workers answer alike until they are restarted.
    Raises RouteTableError.
    """
    path: Path | None = settings.ROUTES_FILE
    return RouteTable() if path is None else _load_once(Path(path))


def forget_routes() -> None:
    """Reads the file anew at the next call (for tests that rewrite it)."""
    _load_once.cache_clear()


def load_routes(path: Path) -> RouteTable:
    """The table in a TOML file, checked to the last key.

    Raises RouteTableError with all problems, each with its line where TOML lets us
    know it. A typing error must stop the start: a misspelt `groups` that was simply
    ignored would open the route to everyone.
    """
    try:
        text = path.read_text(encoding="utf-8")
        document = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RouteTableError([f"{path.name}: {error}"]) from error
    return _Reader(path.name, text).read(document)


_load_once = lru_cache(maxsize=8)(load_routes)


class _Reader:
    """Turns a parsed document into routes and gathers what is wrong with it."""

    def __init__(self, file: str, text: str) -> None:
        self.places = _Places(file, text)
        self.names: set[object] = set()
        self.problems: list[str] = []

    def read(self, document: Mapping[str, Any]) -> RouteTable:
        for key in document.keys() - {"route"}:
            self.problems.append(f"{self.places.of_table(key)}: {key}: unknown key")
        tables = document.get("route", [])
        if not isinstance(tables, list):
            place = self.places.of_table("route")
            raise RouteTableError([*self.problems, f"{place}: write [[route]]"])
        routes = [self._route(index, table) for index, table in enumerate(tables)]
        if self.problems:
            raise RouteTableError(self.problems)
        return RouteTable([route for route in routes if route is not None])

    def _route(self, index: int, table: object) -> Route | None:
        if not isinstance(table, dict):
            self._complain(index, "route", "must be a table")
            return None
        before = len(self.problems)
        values = {key: self._value(index, key, given) for key, given in table.items()}
        for key in ("name", "upstream"):
            if key not in table:
                self._complain(index, key, "is missing")
        self._refuse_second_name(index, values.get("name"))
        return Route(**values) if len(self.problems) == before else None

    def _value(self, index: int, key: str, given: object) -> Any:
        check = CHECKS.get(key)
        if check is None:
            return self._complain(index, key, "unknown key")
        try:
            return check(given)
        except ValueError as error:
            return self._complain(index, key, str(error))

    def _refuse_second_name(self, index: int, name: object) -> None:
        # Of two routes with one name, whoever reads the file expects the other.
        if name in self.names:
            self._complain(index, "name", f"{name!r} is taken by another route")
        elif name is not None:
            self.names.add(name)

    def _complain(self, index: int, key: str, problem: str) -> None:
        place = self.places.of_key(index, key)
        self.problems.append(f"{place}: {key}: {problem}")


class _Places:
    """Where in the file something stands: tomllib does not say."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.lines = text.split("\n")
        self.heads = [
            number for number, line in enumerate(self.lines) if _HEAD.fullmatch(line)
        ]

    def of_table(self, key: str) -> str:
        return self._first(rf"\s*\[*\s*[\"']?{re.escape(key)}\b", 0, len(self.lines))

    def of_key(self, index: int, key: str) -> str:
        """The line of a key in a route; the head of the route if it is not there."""
        if index >= len(self.heads):
            return f"{self.file}: route {index + 1}"
        start, *later = self.heads[index:]
        assigned = rf"\s*[\"']?{re.escape(key)}[\"']?\s*="
        return self._first(assigned, start, later[0] if later else len(self.lines))

    def _first(self, pattern: str, start: int, end: int) -> str:
        found = (n for n in range(start, end) if re.match(pattern, self.lines[n]))
        return f"{self.file}:{next(found, start) + 1}"
