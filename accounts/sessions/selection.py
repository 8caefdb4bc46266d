from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from accounts.browser import MAX_ADDRESS
from accounts.sessions import clock
from accounts.sessions.live_session import LiveSession
from accounts.text_cache import text_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which live sessions are meant. Every field narrows; none means all of them.

    `person` holds (issuer, sub) pairs, any of which will do; an empty tuple selects
    nobody. `agent` holds words that must all occur in the device in words. `idle_for`
    counts from the last use to now. A session that began at `started_after` is in, one
    that began at `started_before` is not. `besides` is left alone, whatever else is
    said of it.
    """

    person: tuple[tuple[str, str], ...] | None = None
    session: str = ""
    group: str = ""
    department: str = ""
    network: IPv4Network | IPv6Network | None = None
    agent: str = ""
    provider: str = ""
    idle_for: timedelta | None = None
    started_before: datetime | None = None
    started_after: datetime | None = None
    besides: str = ""

    def matches(self, session: LiveSession) -> bool:
        """Whether this very session is meant; the last word before it is ended."""
        profile = session.profile
        return (
            (not self.session or session.id == self.session)
            and session.id != self.besides
            and (self.person is None or (profile.issuer, profile.sub) in self.person)
            and self.suits_standing(
                session.provider, profile.department, profile.groups
            )
            and self.suits_device(session.device)
            and self.suits_address(session.address)
            and self._suits_times(session)
        )

    def suits_standing(
        self, provider: str, department: str, groups: Iterable[str]
    ) -> bool:
        """Whether somebody signed in through this provider, with this standing, may
        be meant."""
        return (
            self.provider in {"", provider}
            and self.department in {"", department}
            and (not self.group or self.group in groups)
        )

    def suits_device(self, device: str) -> bool:
        """Whether the device in words has all the words asked for."""
        told = device.casefold()
        return all(word in told for word in self.agent.casefold().split())

    def suits_address(self, address: str) -> bool:
        """Whether the address is in the network; an unknown one is in none."""
        if self.network is None:
            return True
        found = _address(address)
        return found is not None and found in self.network

    def started_within(self) -> tuple[int, int | None]:
        """From when, and before when, in whole milliseconds since the epoch."""
        after = _milliseconds(self.started_after) if self.started_after else 0
        before = _milliseconds(self.started_before) if self.started_before else None
        return max(0, after), before

    def used_before(self, now: float) -> int | None:
        """The last use must not be later than this, in ms; None when it may."""
        if self.idle_for is None:
            return None
        return clock.milliseconds(now - self.idle_for.total_seconds())

    def _suits_times(self, session: LiveSession) -> bool:
        after, before = self.started_within()
        began = _milliseconds(session.began)
        used_before = self.used_before(clock.now())
        return (
            after <= began
            and (before is None or began < before)
            and (used_before is None or _milliseconds(session.last_used) <= used_before)
        )


def _milliseconds(moment: datetime) -> int:
    # Rounded up: a session begins at a whole millisecond, a question at any moment.
    return -(-((moment - _EPOCH) // timedelta(microseconds=1)) // 1000)


@text_cache(entries=4096, longest=MAX_ADDRESS)
def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(text)
    except ValueError:
        return None
    # ::ffff:192.0.2.1 is how a socket that takes both names an IPv4 neighbour.
    return getattr(found, "ipv4_mapped", None) or found
