"""What several people do to the same sessions at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from django.contrib.sessions.backends.base import UpdateError
from django.db import connection

from accounts.models import AuditEntry, Revocation
from accounts.sessions import census, clock, live
from accounts.sessions.store import SessionStore
from tests.accounts.sessions.conftest import again, begin, is_live

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("store")]


def together(*works: Callable[[], None]) -> None:
    """Starts them at once, and waits for all."""
    barrier = threading.Barrier(len(works))

    def run(work: Callable[[], None]) -> None:
        barrier.wait()
        try:
            work()
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_two_admins_and_the_person_end_one_session_and_one_is_told() -> None:
    """K8."""
    for _ in range(10):
        session = begin()
        wanted = [str(session.session_id)]
        outcomes: list[live.Outcome] = []
        together(
            lambda: outcomes.append(live.end(wanted, by="one")),  # noqa: B023
            lambda: outcomes.append(live.end(wanted, by="two")),  # noqa: B023
            lambda: again(session).flush(),  # noqa: B023
        )
        assert not is_live(session)
        assert sum(len(outcome.ended) for outcome in outcomes) <= 1
        assert all(outcome.ended != outcome.already_gone for outcome in outcomes)
    assert census.check() == census.Census()
    # Two who write at once to a database in memory: one may find it locked. Then the
    # kill is done and held, and enters the ledger here.
    live.settle()
    assert Revocation.objects.filter(kind=Revocation.Kind.SESSION).count() == 20
    assert AuditEntry.objects.filter(event="session:killed").count() <= 10


def test_everyone_is_ended_while_people_sign_in() -> None:
    """K9: what began before the mark is dead, what began after it lives."""
    begun: list[tuple[SessionStore, float]] = []
    stop = threading.Event()

    def sign_in(sub: str) -> Callable[[], None]:
        def work() -> None:
            for _ in range(60):
                if stop.is_set():
                    return
                try:
                    session = begin(sub)
                except UpdateError:  # the cut-off came while it was being written
                    continue
                begun.append((session, session.record.began))  # type: ignore[union-attr]

        return work

    marks: list[tuple[float, float]] = []

    def end_everyone() -> None:
        for _ in range(3):
            before = clock.now()
            live.end_everyone(by="desk")
            marks.append((before, clock.now()))
            live.clear_up()
        stop.set()

    together(*(sign_in(f"u-{n}") for n in range(4)), end_everyone)
    before, after = marks[-1]
    assert [s for s, began in begun if began < before and is_live(s)] == []
    assert all(is_live(s) for s, began in begun if began > after)
    live.clear_up()
    assert census.check().strays == 0
