from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backoffice.proxy.errors import RouteTableError
from backoffice.proxy.route_values import CHECKS, SAFE
from backoffice.proxy.routes import Route, RouteTable

_HEAD = re.compile(r"\s*\[\[\s*[\"']?route[\"']?\s*\]\]\s*(#.*)?")


def load_routes(path: Path) -> RouteTable:
    """The table in a TOML file, checked to the last key.

    Raises RouteTableError with all problems, each with its line where TOML lets us
    know it. A typing error must stop the start: a misspelt `groups` that was simply
    ignored would open the route to everyone.
    """
    try:
        # Some editors put a mark before the first sign (BOM).
        text = path.read_text(encoding="utf-8-sig")
        document = tomllib.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        # tomllib says ValueError of an endless number, RecursionError of endless lists.
        raise RouteTableError([f"{path.name}: {error}"]) from error
    return _Reader(path.name, text).read(document)


class _Reader:
    """Turns a parsed document into routes and gathers what is wrong with it."""

    def __init__(self, file: str, text: str) -> None:
        self.places = _Places(file, text)
        self.taken: set[tuple[str, object]] = set()
        self.problems: list[str] = []

    def read(self, document: Mapping[str, Any]) -> RouteTable:
        for key in document.keys() - {"route"}:
            place = self.places.of_table(key)
            self.problems.append(f"{place}: {key}: unknown key; write [[route]]")
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
        prefix = values.get("prefix", values.get("name"))
        if not self._is_taken(index, "name", values.get("name")):
            self._is_taken(index, "prefix", prefix)
        self._refuse_contradictions(index, values)
        if len(self.problems) > before:
            return None
        places = {key: self.places.of_key(index, key) for key in values}
        return Route(**values, place=self.places.of_route(index), places=places)

    def _value(self, index: int, key: str, given: object) -> Any:
        check = CHECKS.get(key)
        if check is None:
            return self._complain(index, key, f"unknown key{_meant(key)}")
        try:
            return check(given)
        except ValueError as error:
            return self._complain(index, key, str(error))

    def _is_taken(self, index: int, key: str, value: object) -> bool:
        # Of two routes with one name, whoever reads the file expects the other.
        taken = (key, value) in self.taken
        if taken:
            self._complain(index, key, f"{value!r} is taken by another route")
        elif value is not None:
            self.taken.add((key, value))
        return taken

    def _refuse_contradictions(self, index: int, values: Mapping[str, Any]) -> None:
        methods = values.get("methods") or SAFE
        writing = methods - SAFE
        for key in ("writes", "write_groups"):
            if values.get(key) and not writing:
                self._complain(index, key, "methods names none that writes")
        if values.get("writes") is False and not methods & SAFE:
            self._complain(index, "writes", "leaves no method")
        if values.get("audience") and values.get("identity") != "token":
            self._complain(index, "audience", 'needs identity = "token"')
        address = str(values.get("upstream", ""))
        if values.get("ca_file") and not address.startswith("https:"):
            self._complain(index, "ca_file", "needs an https upstream")

    def _complain(self, index: int, key: str, problem: str) -> None:
        place = self.places.of_key(index, key)
        self.problems.append(f"{place}: {key}: {problem}")


def _meant(key: str) -> str:
    near = difflib.get_close_matches(key.lower(), CHECKS, n=1)
    return f"; did you mean {near[0]}?" if near else ""


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

    def of_route(self, index: int) -> str:
        if index >= len(self.heads):
            return f"{self.file}: route {index + 1}"
        return f"{self.file}:{self.heads[index] + 1}"

    def of_key(self, index: int, key: str) -> str:
        """The line of a key in a route; the head of the route if it is not there."""
        if index >= len(self.heads):
            return self.of_route(index)
        start, *later = self.heads[index:]
        assigned = rf"\s*[\"']?{re.escape(key)}[\"']?\s*="
        return self._first(assigned, start, later[0] if later else len(self.lines))

    def _first(self, pattern: str, start: int, end: int) -> str:
        found = (n for n in range(start, end) if re.match(pattern, self.lines[n]))
        return f"{self.file}:{next(found, start) + 1}"
