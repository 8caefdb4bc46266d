from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

SESSION_KEY = "profile"


@dataclass(frozen=True, slots=True)
class StaffProfile:
    """What the company says about one staff member, as of the last sign-in."""

    issuer: str
    sub: str
    username: str
    name: str
    email: str
    department: str
    groups: tuple[str, ...]

    @classmethod
    def from_session(cls, session: Mapping[str, Any]) -> Self | None:
        """The profile in a live session; None when nobody is signed in."""
        stored = session.get(SESSION_KEY)
        if stored is None:
            return None
        return cls(**{**stored, "groups": tuple(stored["groups"])})

    def to_session(self) -> dict[str, Any]:
        """The form in which the profile is sealed into the session."""
        return {**asdict(self), "groups": list(self.groups)}

    def belongs_to(self, groups: frozenset[str]) -> bool:
        """Whether the person is in at least one of these groups."""
        return not groups.isdisjoint(self.groups)
