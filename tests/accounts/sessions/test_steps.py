"""A kill, or the death of the process, between any two commands to the store.

Each act is done again and again, and each time it is struck one command later, until
it gets through untouched. So no step of it is left out, also those nobody thought of.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count

import pytest
from django.contrib.sessions.backends.base import UpdateError
from django.db import connections
from pytest_django.fixtures import Settings

from accounts import keys
from accounts.models import User
from accounts.sessions import census, fence, live
from accounts.sessions.connections import client as store_client
from accounts.sessions.errors import SessionStoreError
from accounts.sessions.index import FRESH_SECONDS
from accounts.sessions.store import TOUCH_SECONDS, SessionStore
from tests.accounts.sessions.conftest import ISSUER, PROFILE, again, is_live
from tests.conftest import Travel
from tests.fakes.store import Line, Proxy, resetting

pytestmark = pytest.mark.django_db

SUB = "u-1001"
# What gives up: ended meanwhile, or the store could not be asked. Never anything else.
GIVEN_UP = (UpdateError, SessionStoreError)

Act = Callable[[SessionStore], None]
Kill = Callable[[SessionStore], live.Outcome]


def sid_of(step: int) -> str:
    """A session that has ended at the provider never comes back: each step has one."""
    return f"s-{step}"


def begun(step: int) -> SessionStore:
    """A sign-in that is done but for the writing of its session."""
    session = SessionStore()
    session.begin(
        {"profile": PROFILE, "sign_in": {"provider": "oidc", "sid": sid_of(step)}},
        person=keys.person(ISSUER, SUB),
        origin=keys.origin(ISSUER, sid_of(step)),
    )
    return session


def save(session: SessionStore) -> None:
    session["draft"] = "x"
    session.save()


def save_other_groups(session: SessionStore) -> None:
    session["profile"] = {**PROFILE, "groups": ["finance"]}
    session.save()


ACTS: dict[str, Act] = {
    "save": save,
    "save-other-groups": save_other_groups,
    "rotate": SessionStore.cycle_key,
    "use": lambda session: again(session).open(),
    "sign-out": SessionStore.flush,
    "sign-in": SessionStore.save,
}
KILLS: dict[str, Kill] = {
    "session": lambda copy: live.end([str(copy.session_id)], by="desk"),
    "person": lambda _: live.end_person(User(issuer=ISSUER, sub=SUB), by="desk"),
    "origin": lambda copy: live.end_origin(ISSUER, copy["sign_in"]["sid"], by="idp"),
    "everyone": lambda _: live.end_everyone(by="desk"),
}
each_act = pytest.mark.parametrize("name", ACTS)
each_kill = pytest.mark.parametrize("kind", KILLS)


class Strike:
    """Does something once, right before the store gets its nth command."""

    def __init__(self, step: int, what: Callable[[], live.Outcome | None]) -> None:
        self.left, self.what = step, what
        self.fell, self.outcome = False, live.Outcome()
        # The commands that came after it, the first of which it struck.
        self.later: list[bytes] = []
        self._lock = threading.Lock()

    def __call__(self, line: Line) -> None:
        with self._lock:
            self.left -= 1
            is_due = self.left == -1
        if is_due:
            self.outcome = self.what() or self.outcome
            self.fell = True
        if self.fell:
            self.later.append(line.name)


@contextmanager
def lent_database() -> Iterator[Callable[[Callable[[], live.Outcome]], live.Outcome]]:
    """Lets another thread see the rows of this test; gives what it works with."""
    database = connections["default"]
    database.inc_thread_sharing()

    def lent(work: Callable[[], live.Outcome]) -> live.Outcome:
        connections["default"] = database
        return work()

    yield lent
    database.dec_thread_sharing()


def start_of(name: str, step: int, travel: Travel) -> SessionStore:
    """The session as it is before this act."""
    session = begun(step)
    if name != "sign-in":
        session.save()
        session = again(session)
        session.open()
    if name == "use":
        travel.shift(TOUCH_SECONDS + 1)
    return session


def assert_nobody_is_there(travel: Travel) -> None:
    # An entry may be younger than its value, for a moment.
    travel.shift(FRESH_SECONDS + 1)
    assert (live.page(), live.of_person(ISSUER, SUB)) == ([], [])
    assert live.count() == 0


@each_act
@each_kill
def test_kill_before_any_command_of_it_wins(
    proxy: Proxy, travel: Travel, name: str, kind: str
) -> None:
    """K1: at every step of it."""
    if (name, kind) == ("sign-in", "session"):
        pytest.skip("what is not written yet has no id")
    for step in count():
        session = start_of(name, step, travel)
        found, copy = {session.session_key}, session
        if name not in {"sign-in", "use"}:
            copy = again(session)
            copy.open()
        with lent_database() as lent:
            strike = Strike(step, partial(lent, partial(KILLS[kind], copy)))
            proxy.breaks(strike)
            with suppress(*GIVEN_UP):
                ACTS[name](session)
            proxy.heals()
        if not strike.fell:
            break
        if strike.outcome.already_gone and not looks_for_marks(strike.later):
            # It had gone to another key before the kill came, which says so.
            live.end([each.id for each in live.page()], by="desk")
        found |= {session.session_key}
        assert [key for key in found if SessionStore(key).record] == []
        assert live.count() == 0
        assert_nobody_is_there(travel)
    assert step > 0
    live.end_person(User(issuer=ISSUER, sub=SUB), by="desk")
    live.clear_up()
    assert census.check() == census.Census()


def looks_for_marks(commands: list[bytes]) -> bool:
    """Whether these hold the look for a kill that came while a session moved.

    It asks for two marks: one of the session, and then one of where it stems from.
    """
    return commands.count(b"EXISTS") == 2


@each_act
def test_death_before_any_command_of_it_hides_nobody(
    proxy: Proxy, travel: Travel, settings: Settings, name: str
) -> None:
    """RED-09: what is alive afterwards is listed, and only that."""
    for step in count():
        session = start_of(name, step, travel)
        found = {session.session_key}
        strike = Strike(step, lambda: proxy.breaks(resetting))
        proxy.breaks(strike)
        with suppress(*GIVEN_UP):
            ACTS[name](session)
        proxy.heals()
        if not strike.fell:
            break
        a_new_process_starts()
        found |= {session.session_key}
        alive = [str(s.session_id) for s in map(SessionStore, found) if s.record]
        assert len(alive) <= 1
        travel.shift(FRESH_SECONDS + 1)
        assert [each.id for each in live.page()] == alive
        assert [each.id for each in live.of_person(ISSUER, SUB)] == alive
        assert live.count() == len(alive)
        live.end_person(User(issuer=ISSUER, sub=SUB), by="desk")
        travel.shift(1)
    assert step > 0
    # What nobody is shown may still stand in the index, but not beyond its end.
    travel.shift(settings.SESSION_IDLE_SECONDS)
    live.purge()
    assert census.check().strays == 0


def test_death_between_a_save_and_its_facts_is_mended(
    proxy: Proxy, travel: Travel
) -> None:
    """The list has it all the while; a filter by the new group, after `--repair`."""
    session = start_of("save-other-groups", 0, travel)
    strike = Strike(1, lambda: proxy.breaks(resetting))
    proxy.breaks(strike)
    with suppress(*GIVEN_UP):
        save_other_groups(session)
    proxy.heals()
    assert again(session)["profile"]["groups"] == ["finance"]
    assert [each.id for each in live.page()] == [session.session_id]
    assert census.repair().hidden == [session.session_id]
    assert live.select(live.Selection(group="finance")).total == 1


@each_kill
def test_death_before_any_command_of_a_kill_leaves_nobody_alive(
    proxy: Proxy, travel: Travel, kind: str
) -> None:
    """W1: the row in the ledger was first, and the next process carries it out."""
    for step in count():
        victim = start_of("save", step, travel)
        travel.shift(1)
        strike = Strike(step, lambda: proxy.breaks(resetting))
        proxy.breaks(strike)
        KILLS[kind](victim)
        proxy.heals()
        if not strike.fell:
            break
        a_new_process_starts()
        assert not is_live(victim)
        assert_nobody_is_there(travel)
    assert step > 0


def a_new_process_starts() -> None:
    fence.forget()
    store_client().connection_pool.disconnect()
