"""A company's worth of staff with sessions, to try the desk at size.

Everything about a session follows from its number, so that two runs make the same
people. Sealing and indexing are the engine's own; only the round trips are fewer.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random

from django.conf import settings

from accounts import audit, keys
from accounts.management.batch import Batch
from accounts.models import User
from accounts.profile import StaffProfile
from accounts.sessions import clock, index
from accounts.sessions.connections import answering, client
from accounts.sessions.record import Record
from accounts.sso.sign_in import SignIn

AT_ONCE = 500
ISSUER = "https://people.example"
FAMILY = "김이박최정강조윤장임한오서신권황안송류홍"
GIVEN = [
    "하늘",
    "민수",
    "지우",
    "서연",
    "도윤",
    "예은",
    "시우",
    "하은",
    "준서",
    "유나",
    "현우",
    "수빈",
    "은호",
    "다인",
]
DEPARTMENTS = {
    "Customer Support": "support",
    "Operations": "operations",
    "Payments": "payments",
    "Risk": "risk",
    "Security": "security",
    "Engineering": "engineering",
    "Sales": "sales",
    "Marketing": "marketing",
    "Finance": "finance",
    "People": "people",
    "Legal": "legal",
    "Logistics": "logistics",
}
_MOZILLA = "Mozilla/5.0"
_WINDOWS = f"{_MOZILLA} (Windows NT 10.0; Win64; x64)"
_MAC = f"{_MOZILLA} (Macintosh; Intel Mac OS X 10_15_7)"
_LINUX = f"{_MOZILLA} (X11; Linux x86_64)"
_IPHONE = f"{_MOZILLA} (iPhone; CPU iPhone OS 19_1 like Mac OS X)"
_ANDROID = f"{_MOZILLA} (Linux; Android 16; SM-S938N)"
_CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{0}.0.0.0"
_WEBKIT = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
AGENTS = (
    f"{_WINDOWS} {_CHROME.format(156)} Safari/537.36",
    f"{_WINDOWS} {_CHROME.format(155)} Safari/537.36",
    f"{_WINDOWS} {_CHROME.format(156)} Safari/537.36 Edg/156.0.0.0",
    f"{_MAC} {_CHROME.format(156)} Safari/537.36",
    f"{_MAC} {_WEBKIT} Version/19.1 Safari/605.1.15",
    f"{_MOZILLA} (Windows NT 10.0; Win64; x64; rv:151.0) Gecko/20100101 Firefox/151.0",
    f"{_LINUX[:-1]}; rv:151.0) Gecko/20100101 Firefox/151.0",
    f"{_IPHONE} {_WEBKIT} Version/19.1 Mobile/15E148 Safari/604.1",
    f"{_ANDROID} {_CHROME.format(156)} Mobile Safari/537.36",
    "curl/8.16.0",
)
_COMMON_FIRST = (30, 12, 14, 14, 9, 7, 3, 6, 4, 1)
_PLACES = ("office", "vpn", "home", "home-v6")
_PLACES_OFTEN = (60, 20, 15, 5)


@dataclass(frozen=True, slots=True)
class Made:
    """One session to be stored, and the moment of its last use."""

    record: Record
    last_used: float

    @property
    def sign_in(self) -> audit.Entry:
        """What the audit says of how it began."""
        profile = StaffProfile.from_session(self.record.data)
        found = self.record.data["sign_in"]
        name = profile.username if profile else ""
        return audit.Entry.of(
            audit.Event.SIGNED_IN,
            actor=name,
            subject=name,
            session_id=self.record.id,
            address=found["address"],
            details={"agent": found["agent"], "provider": found["provider"]},
            at=datetime.fromtimestamp(self.record.began, UTC),
        )


def person(number: int) -> StaffProfile:
    """The staff member of this number."""
    chance = Random(number)  # noqa: S311 - made-up people, not secrets
    department = chance.choice(list(DEPARTMENTS))
    groups = ["staff", DEPARTMENTS[department]]
    if chance.random() < 0.1:
        groups.append("leads")
    return StaffProfile(
        issuer=ISSUER,
        sub=f"made-{number:06}",
        username=f"made.{number:06}",
        name=chance.choice(FAMILY) + chance.choice(GIVEN),
        email=f"made.{number:06}@people.example",
        department=department,
        groups=tuple(groups),
    )


def enter_people(number: int) -> None:
    """Accounts for this many people; those who have one keep it."""
    rows = []
    for profile in map(person, range(number)):
        rows.append(
            User(
                identity=User.identity_of(profile.issuer, profile.sub),
                issuer=profile.issuer,
                sub=profile.sub,
                username=profile.username,
                name=profile.name,
                email=profile.email,
                department=profile.department,
            )
        )
    User.objects.bulk_create(rows, batch_size=AT_ONCE, ignore_conflicts=True)


def sessions(number: int, staff: int) -> Iterator[Made]:
    """This many sessions of these people, the earliest sign-in first."""
    now = clock.now()
    for place in range(number):
        yield _session(place, number, staff, now)


def _session(place: int, number: int, staff: int, now: float) -> Made:
    chance = Random(f"session {place}")  # noqa: S311 - the key is made elsewhere
    profile = person(chance.randrange(staff))
    # Over the whole of a working day, and in use until a moment ago or gone idle.
    spread = settings.SESSION_ABSOLUTE_SECONDS * 0.95
    began = clock.whole_milliseconds(now - spread * (1 - place / number) - 1)
    idle = min(now - began, settings.SESSION_IDLE_SECONDS * 0.9)
    found = SignIn(
        profile=profile,
        provider="oidc",
        sid=f"made-sid-{place}",
        authenticated_at=int(began),
        id_token="",
        started=int(began),
        address=_address(chance),
        agent=chance.choices(AGENTS, _COMMON_FIRST)[0],
    )
    record = Record(
        # Of a key that nobody is told: these sessions open nothing for anybody.
        id=keys.session_id(secrets.token_hex(16)),
        began=began,
        ends=began + settings.SESSION_ABSOLUTE_SECONDS,
        idle=settings.SESSION_IDLE_SECONDS,
        data={"profile": profile.to_session(), "sign_in": found.to_session()},
        person=keys.person(profile.issuer, profile.sub),
        origin=keys.origin(profile.issuer, f"made-sid-{place}"),
    )
    return Made(record, now - idle * chance.random())


def _address(chance: Random) -> str:
    # Private ranges, and those that are kept for examples (RFC 5737, RFC 3849).
    low, high = chance.randrange(4), chance.randrange(1, 255)
    match chance.choices(_PLACES, _PLACES_OFTEN)[0]:
        case "office":
            return f"10.20.{low}.{high}"
        case "vpn":
            return f"172.16.{low}.{high}"
        case "home":
            return f"{chance.choice(('203.0.113', '198.51.100'))}.{high}"
        case _:
            return f"2001:db8:{low:x}::{high:x}"


def store(made: list[Made]) -> None:
    """Writes sessions as the engine does, in two round trips for all of them."""
    with answering():
        batch = Batch(client())
        for each in made:
            index.enter(batch, each.record, each.last_used)
            expiry = each.record.expiry(each.last_used)
            batch.set(each.record.name, each.record.seal(), nx=True, pxat=expiry)
        batch.send()
