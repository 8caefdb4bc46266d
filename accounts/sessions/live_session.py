from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from accounts import places
from accounts.browser import device
from accounts.profile import StaffProfile
from accounts.sessions.change import Change, changes_in
from accounts.sessions.record import Record


@dataclass(frozen=True, slots=True)
class LiveSession:
    """One live session, without anything that would work as a cookie."""

    id: str
    profile: StaffProfile
    provider: str
    address: str
    agent: str
    began: datetime
    last_used: datetime
    idle_ends: datetime
    ends: datetime
    changes: tuple[Change, ...] = ()
    current: bool = False

    @property
    def device(self) -> str:
        return device(self.agent)

    @property
    def place(self) -> str:
        return str(places.in_words(self.address))

    @classmethod
    def of(cls, record: Record, last_used: float, current: bool = False) -> LiveSession:
        """The session in a record; raises ValueError when nobody is signed in."""
        sign_in = record.data.get("sign_in", {})
        profile = StaffProfile.from_session(record.data)
        if profile is None:
            raise ValueError("not the session of a signed-in person")
        return cls(
            id=record.id,
            profile=profile,
            provider=sign_in.get("provider", ""),
            address=sign_in.get("address", ""),
            agent=sign_in.get("agent", ""),
            began=_moment(record.began),
            last_used=_moment(last_used),
            idle_ends=_moment(min(last_used + record.idle, record.ends)),
            ends=_moment(record.ends),
            changes=changes_in(record.data),
            current=current,
        )


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
