from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

SESSION_KEY = "renewal"
# A record holds 64 KiB; what is longer than any token known is not kept.
MAX_LENGTH = 16 * 1024


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """What one session asks the provider again with, and when it is to be used next.

    It lies under the session's seal, nowhere else, and goes with the session. `due` is
    in seconds since the epoch; `failures` counts those in a row.
    """

    value: str
    due: float
    failures: int = 0

    @classmethod
    def given(cls, tokens: Mapping[str, Any], due: float) -> Self | None:
        """The one in a token answer; None when there is none that could be kept."""
        value = tokens.get("refresh_token")
        is_usable = isinstance(value, str) and 0 < len(value) <= MAX_LENGTH
        return cls(value, due) if is_usable else None  # type: ignore[arg-type]

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self | None:
        """The one in a session's contents."""
        stored = data.get(SESSION_KEY)
        return cls(*stored) if stored else None

    def to_session(self) -> list[Any]:
        return [self.value, self.due, self.failures]

    def succeeded_by(self, tokens: Mapping[str, Any], due: float) -> Self:
        """What to ask with after this answer; providers may keep the old one."""
        return self.given(tokens, due) or replace(self, due=due, failures=0)

    def failed(self, due: float) -> Self:
        return replace(self, due=due, failures=self.failures + 1)
