"""Dead stays dead, live is listed, nothing else is: in whatever order clients act."""

from __future__ import annotations

import os
import random
import threading
from dataclasses import dataclass, replace

import hypothesis.strategies as st
import pytest
import redis
from django.contrib.sessions.backends.base import UpdateError
from django.db import connection
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    rule,
    run_state_machine_as_test,
)

from accounts.models import User
from accounts.profile import StaffProfile
from accounts.sessions import census, clock, live
from accounts.sessions.store import TOUCH_SECONDS, SessionStore
from tests.accounts.sessions.conftest import ISSUER, PROFILE, begin, is_live
from tests.conftest import Travel

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("store")]

PEOPLE = ("u-1", "u-2", "u-3")
IDLE, ABSOLUTE = 1800, 28800
# For hours and with hundreds of threads, say so: TORTURE=seconds,threads
TORTURE_SECONDS, THREADS = map(int, os.environ.get("TORTURE", "6,8").split(","))
MINUTES = 25


@dataclass(frozen=True)
class Expected:
    """One session that must be live, as far as the model knows."""

    id: str
    person: str
    began: float
    used: float


class Clients(RuleBasedStateMachine):
    """Several browsers and a security admin; the model is a dict of what must live."""

    sessions = Bundle("sessions")
    travel: Travel
    store: redis.Redis

    def __init__(self) -> None:
        super().__init__()
        self.store.flushall()
        self.alive: dict[str, Expected] = {}
        self.dead: set[str] = set()

    @rule(target=sessions, person=st.sampled_from(PEOPLE))
    def sign_in(self, person: str) -> SessionStore:
        session = begin(person)
        now = clock.now()
        expected = Expected(str(session.session_id), person, now, now)
        self.alive[str(session.session_key)] = expected
        return session

    @rule(session=sessions)
    def use(self, session: SessionStore) -> None:
        assert is_live(session) == self.expect(session)
        self.note_use(session)

    @rule(session=sessions, value=st.integers())
    def save(self, session: SessionStore, value: int) -> None:
        reopened = SessionStore(session.session_key)
        if reopened.record is None:
            assert not self.expect(session)
            return
        assert self.expect(session)
        reopened["value"] = value
        reopened.save()
        self.note_use(session, exact=True)

    @rule(session=sessions)
    def save_late(self, session: SessionStore) -> None:
        """A request that read while the session lived, and writes after its end."""
        reopened = SessionStore(session.session_key)
        if reopened.record is None:
            return
        live.end([reopened.record.id], by="admin")
        self.bury(str(session.session_key))
        reopened["late"] = True
        with pytest.raises(UpdateError):
            reopened.save()

    @rule(target=sessions, session=consumes(sessions))
    def rotate(self, session: SessionStore) -> SessionStore:
        reopened = SessionStore(session.session_key)
        old = str(session.session_key)
        if reopened.record is None:
            return session
        reopened.cycle_key()
        before = self.alive[old]
        self.bury(old)
        self.alive[str(reopened.session_key)] = replace(
            before, id=str(reopened.session_id), used=clock.now()
        )
        return reopened

    @rule(session=sessions)
    def sign_out(self, session: SessionStore) -> None:
        key = str(session.session_key)
        SessionStore(key).delete()
        self.bury(key)

    @rule(person=st.sampled_from(PEOPLE))
    def kill_person(self, person: str) -> None:
        user = User(issuer=ISSUER, sub=person)
        self.travel.shift(0.01)
        live.end_person(user, by="admin")
        for key, expected in list(self.alive.items()):
            if expected.person == person:
                self.bury(key)
        self.travel.shift(0.01)

    @rule()
    def cut_off(self) -> None:
        self.travel.shift(0.01)
        live.end_everyone(by="admin")
        for key in list(self.alive):
            self.bury(key)
        self.travel.shift(0.01)

    @rule()
    def clear_up(self) -> None:
        live.clear_up()
        live.purge()

    @rule(seconds=st.sampled_from([1, 61, 900, IDLE + 1, 4 * 3600]))
    def wait(self, seconds: int) -> None:
        self.travel.shift(seconds)
        now = clock.now()
        for key, expected in list(self.alive.items()):
            if now >= expected.used + IDLE or now >= expected.began + ABSOLUTE:
                self.bury(key)

    @invariant()
    def dead_stays_dead(self) -> None:
        for key in self.dead:
            assert SessionStore(key).record is None

    @invariant()
    def live_is_listed_and_nothing_else_is(self) -> None:
        expected = {expected.id for expected in self.alive.values()}
        assert {s.id for s in live.page(size=1000)} == expected
        assert live.count() == len(expected) or self.has_cutoff()

    def has_cutoff(self) -> bool:
        """After a cut-off the count is exact again once it is cleared up."""
        live.clear_up()
        return live.count() == len(self.alive)

    def expect(self, session: SessionStore) -> bool:
        return str(session.session_key) in self.alive

    def note_use(self, session: SessionStore, exact: bool = False) -> None:
        key = str(session.session_key)
        if key in self.alive:
            before, now = self.alive[key], clock.now()
            if exact or now - before.used >= TOUCH_SECONDS:
                self.alive[key] = replace(before, used=now)

    def bury(self, key: str) -> None:
        if self.alive.pop(key, None):
            self.dead.add(key)


def test_any_order_of_steps_keeps_the_invariant(
    travel: Travel, store: redis.Redis
) -> None:
    Clients.travel, Clients.store = travel, store
    run_state_machine_as_test(
        Clients,
        settings=hypothesis_settings(
            max_examples=40,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_torture_by_threads_ends_with_index_equal_to_values(travel: Travel) -> None:
    """K4: eight threads do everything at random for a while; then all is counted.

    So that uses are touches, a minute passes now and then; too few for anybody to idle.
    """
    killed: set[str] = set()
    everything: list[SessionStore] = []
    lock = threading.Lock()
    over = threading.Event()

    def torment(seed: int) -> None:
        dice = random.Random(seed)  # noqa: S311 - a test's dice
        while not over.is_set():
            step(dice, everything, killed, lock)
        connection.close()

    threads = [threading.Thread(target=torment, args=(n,)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for _ in range(MINUTES):
        over.wait(TORTURE_SECONDS / MINUTES)
        travel.shift(TOUCH_SECONDS + 1)
    over.set()
    for thread in threads:
        thread.join()
    assert len(killed) > 50
    assert [key for key in killed if SessionStore(key).record] == []
    assert census.check().strays == 0
    living = {s.session_id for s in everything if is_live(s)}
    assert {s.id for s in live.page(size=100_000)} == living


def step(
    dice: random.Random,
    everything: list[SessionStore],
    killed: set[str],
    lock: threading.Lock,
) -> None:
    """One thing that one client does."""
    choice = dice.random()
    if choice < 0.25 or not everything:
        try:
            session = begin(dice.choice(PEOPLE))
        except UpdateError:  # the person was killed while this was being written
            return
        with lock:
            everything.append(session)
        return
    record_key = dice.choice(everything).session_key
    session = SessionStore(record_key)
    record = session.record
    if record is None:
        return
    if choice < 0.5:
        session["n"] = dice.random()
        save_or_be_ended(session)
    elif choice < 0.6:
        rotate_or_be_ended(session, everything, killed, lock)
    elif choice < 0.8:
        live.end([record.id], by="admin")
        with lock:
            killed.add(str(session.session_key))
    elif choice < 0.85:
        session.flush()
        with lock:
            killed.add(str(record_key))
    elif choice < 0.87:
        profile = {**PROFILE, "sub": dice.choice(PEOPLE), "groups": ()}
        live.end_person(
            User(issuer=ISSUER, sub=StaffProfile(**profile).sub), by="admin"
        )


def save_or_be_ended(session: SessionStore) -> None:
    try:
        session.save()
    except UpdateError:
        assert SessionStore(session.session_key).record is None


def rotate_or_be_ended(
    session: SessionStore,
    everything: list[SessionStore],
    killed: set[str],
    lock: threading.Lock,
) -> None:
    old = str(session.session_key)
    try:
        session.cycle_key()
    except UpdateError:
        return
    with lock:
        everything.append(session)
        killed.add(old)
