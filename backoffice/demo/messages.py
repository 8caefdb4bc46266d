from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl

KEPT_BODY_BYTES = 1024 * 1024
JSON_TYPE = ("Content-Type", "application/json; charset=utf-8")
NO_STORE = ("Cache-Control", "no-store")


@dataclass(frozen=True)
class Request:
    """One request: `target` as it came on the wire, the body up to KEPT_BODY_BYTES."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""
    body_size: int = 0

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @cached_property
    def query_pairs(self) -> list[tuple[str, str]]:
        query = self.target.partition("?")[2]
        return parse_qsl(query, keep_blank_values=True)

    @cached_property
    def query(self) -> dict[str, str]:
        return dict(self.query_pairs)

    @cached_property
    def form_pairs(self) -> list[tuple[str, str]]:
        if self.media_type != "application/x-www-form-urlencoded":
            return []
        return parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True)

    @cached_property
    def form(self) -> dict[str, str]:
        return dict(self.form_pairs)

    @property
    def media_type(self) -> str:
        return self.header("Content-Type").partition(";")[0].strip().lower()

    @cached_property
    def cookies(self) -> dict[str, str]:
        jar: SimpleCookie = SimpleCookie()
        try:
            jar.load(self.header("Cookie"))
        except CookieError:
            return {}
        return {name: morsel.value for name, morsel in jar.items()}

    def header(self, name: str) -> str:
        """The first header of this name, or nothing."""
        found = (value for key, value in self.headers if key.lower() == name.lower())
        return next(found, "")

    def json(self) -> Any:
        """The body as JSON; raises ValueError."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Response:
    """One answer; a body of blocks is sent as they come, with chunked framing."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | Iterator[bytes] = field(default=b"")


Answer = Callable[[Request], Response]


def json_response(
    data: Any, status: int = 200, headers: Iterable[tuple[str, str]] = ()
) -> Response:
    """A JSON answer that nobody keeps."""
    body = json.dumps(data, ensure_ascii=False, indent=2).encode() + b"\n"
    return Response(status, (JSON_TYPE, NO_STORE, *headers), body)
