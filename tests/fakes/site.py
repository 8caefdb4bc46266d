"""A line to the real site that can fail in every way: `fakes.store` for HTTP."""

from __future__ import annotations

import re

from tests.fakes.store import Line, Proxy, Wire

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.I)


class _Wire(Wire):
    def message(self) -> bytes:
        """One request or answer, as it came. What has no length has no body."""
        head = self._until(b"\r\n\r\n")
        length = _LENGTH.search(head)
        return head + self._exactly(int(length[1]) if length else 0)


class _Line(Line):
    @property
    def name(self) -> bytes:
        return self.command.split(b" ", 2)[1]


class SiteProxy(Proxy):
    """`heard` and `to` are of request targets."""

    wire = _Wire
    line = _Line
