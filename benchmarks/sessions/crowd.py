"""A crowd of people with 20 live sessions each, made as the engine makes them.

Sealing and indexing are the engine's own functions; only the round trips are fewer,
because the pipelines of many sessions go out as one. Everything about a session
follows from its number, so a million of them need not be remembered.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
from functools import cache
from typing import Any

from django.conf import settings

from accounts import keys
from accounts.management.batch import Batch
from accounts.profile import StaffProfile
from accounts.sessions import clock, index
from accounts.sessions.record import Record
from benchmarks.sessions import site

ISSUER = "https://idp.example/realms/company"
SESSIONS_EACH = 20
PROFILE_BYTES = 500
DEPARTMENTS = ("Customer Support, Seoul", "Customer Support, Busan")
USED_WITHIN_SECONDS = 600
BEGAN_WITHIN_SECONDS = 4 * 3600
PEOPLE_PER_BATCH = 25
PROCESSES = 2


def session_key(number: int) -> str:
    """The cookie of one session."""
    return hashlib.sha256(b"session %d" % number).hexdigest()[:32]


def session_id(number: int) -> str:
    return keys.session_id(session_key(number))


def sub(person: int) -> str:
    return f"u-{person:07}"


def profile(person: int) -> StaffProfile:
    """Somebody whose profile takes PROFILE_BYTES as JSON."""
    groups = ("staff", *_padding())
    return StaffProfile(
        issuer=ISSUER,
        sub=sub(person),
        username=f"staff.{person:07}",
        name=f"김하늘 {person:07}",
        email=f"staff.{person:07}@example.com",
        department=DEPARTMENTS[person % 2],
        groups=groups,
    )


def content(person: int) -> dict[str, Any]:
    """What stands in the session of this person."""
    return {
        "profile": profile(person).to_session(),
        "sign_in": {"provider": "oidc"},
    }


def record(number: int, now: float) -> Record:
    """One session, last used within ten minutes and begun within four hours."""
    person = number // SESSIONS_EACH
    used = last_use(number, now)
    began = used - number * 7919 % BEGAN_WITHIN_SECONDS
    return Record(
        id=session_id(number),
        began=began,
        ends=began + settings.SESSION_ABSOLUTE_SECONDS,
        idle=settings.SESSION_IDLE_SECONDS,
        data=content(person),
        person=keys.person(ISSUER, sub(person)),
        origin=keys.origin(ISSUER, f"sid-{number:032}"),
    )


def last_use(number: int, now: float) -> float:
    return now - number * 104729 % USED_WITHIN_SECONDS


def fill(url: str, people: range, expired: bool = False) -> None:
    """Enters everything these people have open.

    `expired` makes it what has run out: listed still, the value gone by itself.
    """
    if len(people) < 1000:
        return _fill_part(url, people, expired)
    size = -(-len(people) // PROCESSES)
    parts = [people[start : start + size] for start in range(0, len(people), size)]
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        pool.starmap(_fill_part, [(url, part, expired) for part in parts])
    return None


def _fill_part(url: str, people: range, expired: bool) -> None:
    store, now = site.observer(url), clock.now()
    if expired:
        now -= settings.SESSION_IDLE_SECONDS + 60
    for start in range(0, len(people), PEOPLE_PER_BATCH):
        batch = Batch(store)
        for person in people[start : start + PEOPLE_PER_BATCH]:
            for number in numbers_of(person):
                _enter(batch, number, now, expired)
        batch.send()
    store.close()


def numbers_of(person: int) -> range:
    return range(person * SESSIONS_EACH, (person + 1) * SESSIONS_EACH)


def _enter(batch: Any, number: int, now: float, expired: bool) -> None:
    one, used = record(number, now), last_use(number, now)
    index.enter(batch, one, used)
    if not expired:
        batch.set(one.name, one.seal(), nx=True, pxat=one.expiry(used))


@cache
def _padding() -> tuple[str, ...]:
    # Groups of usual length, the last one cut so that the sum is right.
    bare = StaffProfile(
        ISSUER,
        sub(0),
        f"staff.{0:07}",
        f"김하늘 {0:07}",
        f"staff.{0:07}@example.com",
        DEPARTMENTS[0],
        ("staff",),
    )
    text = json.dumps(bare.to_session(), ensure_ascii=False, separators=(",", ":"))
    missing = PROFILE_BYTES - len(text.encode())
    groups = []
    for number in range(missing):
        name = f"team-{number:02}-operations"[: missing - 3]
        if missing < 3 + len(name) + 4:
            groups.append(name.ljust(missing - 3, "x"))
            break
        groups.append(name)
        missing -= len(name) + 3
    return tuple(groups)
