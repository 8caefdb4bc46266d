"""gunicorn's request and response, without finding out the same thing every time."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Any

from gunicorn import util
from gunicorn.http import message, wsgi

from accounts.text_cache import text_cache


class Request(message.Request):  # type: ignore[misc]
    """As gunicorn's; whether the other side is a proxy of ours is remembered."""

    def _peer_is_trusted_proxy(self) -> bool:
        if not isinstance(self.peer_addr, tuple):
            return True
        return _is_trusted(self.peer_addr[0], self.cfg)


class Response(wsgi.Response):  # type: ignore[misc]
    """As gunicorn's; the head goes out together with the first of the body."""

    headers_sent: bool
    response_length: int | None
    _head = b""

    def process_headers(self, headers: list[tuple[str, str]]) -> None:
        """As gunicorn's, with each name judged once and all values in one look."""
        are_usual = all(map(_is_usual, [name for name, _ in headers]))
        values = "".join([value for _, value in headers])
        if not are_usual or not wsgi.HEADER_VALUE_RE.fullmatch(values):
            super().process_headers(headers)
            return
        for name, value in headers:
            value = value.strip(" \t")
            self.headers.append((name, value))
            if len(name) == 14 and name.lower() == "content-length":
                self.response_length = int(value)

    def send_headers(self) -> None:
        """Makes the head; it waits for what `write` or `close` have to add."""
        if self.headers_sent:
            return
        self.headers_sent = True
        lines = [*self._first_lines(), *(f"{n}: {v}" for n, v in self.headers)]
        self._head = "\r\n".join([*lines, "", ""]).encode("latin-1")

    def write(self, arg: bytes) -> None:
        super().write(arg)
        self._send_head()

    def close(self) -> None:
        self.send_headers()
        self._send_head()
        super().close()

    def _first_lines(self) -> list[str]:
        major, minor = self.req.version
        connection = "close" if self.should_close() else "keep-alive"
        lines = [
            f"HTTP/{major}.{minor} {self.status}",
            f"Server: {self.version}",
            f"Date: {_date(int(time.time()))}",
            f"Connection: {'upgrade' if self.upgrade else connection}",
        ]
        return [*lines, "Transfer-Encoding: chunked"] if self.chunked else lines

    def _emit_body(self, data: bytes) -> None:
        head, self._head = self._head, b""
        if self.chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        util.write(self.sock, head + data if head else data)

    def _send_head(self) -> None:
        head, self._head = self._head, b""
        if head:
            util.write(self.sock, head)


@lru_cache(maxsize=1024)
def _is_trusted(address: str, cfg: Any) -> bool:
    return message._ip_in_allow_list(  # type: ignore[no-any-return]
        address, cfg.forwarded_allow_ips, cfg.forwarded_allow_networks()
    )


@text_cache(entries=1024, longest=64)
def _is_usual(name: object) -> bool:
    """Whether a field of this name is sent as the application gave it."""
    return (
        isinstance(name, str)
        and message.TOKEN_RE.fullmatch(name) is not None
        and not util.is_hoppish(name)
    )


@lru_cache(maxsize=2)
def _date(second: int) -> str:
    return str(util.http_date(second))
