"""What a session was used from since it began, beside the browser it began in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from accounts.browser import Browser, device

SESSION_KEY = "changes"


@dataclass(frozen=True, slots=True)
class Change:
    """The first use from another device or network."""

    at: datetime
    browser: Browser

    @property
    def device(self) -> str:
        return device(self.browser.agent)

    def to_session(self) -> list[Any]:
        return [int(self.at.timestamp()), self.browser.address, self.browser.agent]


def changes_in(data: Mapping[str, Any]) -> tuple[Change, ...]:
    """What is noted in a session's contents, in the order in which it was noticed."""
    return tuple(
        Change(datetime.fromtimestamp(at, UTC), Browser(address, agent))
        for at, address, agent in data.get(SESSION_KEY, ())
    )


def began_in(data: Mapping[str, Any]) -> Browser:
    """The browser that signed in."""
    sign_in = data.get("sign_in", {})
    return Browser(sign_in.get("address", ""), sign_in.get("agent", ""))
