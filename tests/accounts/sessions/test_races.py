"""What several people do to the same sessions at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.contrib.sessions.backends.base import UpdateError
from django.db import connection

from accounts.models import AuditEntry, Revocation
from accounts.sessions import census, clock, live
from accounts.sessions.amend import amend
from accounts.sessions.errors import SessionStoreError
from accounts.sessions.store import SessionStore
from tests.accounts.sessions.conftest import again, begin, is_live

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("store")]

# More than a browser sends at once to one site over HTTP/1.1.
SAVERS = 12


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


def test_one_who_takes_groups_and_two_who_save_do_not_undo_each_other() -> None:
    """SES-19: neither groups nor limits depend on who writes last."""
    session = begin()
    before = session.record
    assert before

    def take_groups(number: int) -> None:
        def change(data: dict[str, Any]) -> dict[str, Any]:
            return {**data, "profile": {**data["profile"], "groups": [f"g-{number}"]}}

        amend(before.id, change)

    def save(name: str, number: int) -> None:
        mine = again(session)
        mine[name] = number
        mine.save()

    for number in range(20):
        together(
            partial(take_groups, number),
            partial(save, "draft", number),
            partial(save, "basket", number),
        )
        after = again(session)
        assert after["profile"]["groups"] == [f"g-{number}"]
        assert (after["draft"], after["basket"]) == (number, number)
        assert after.record
        assert (after.record.began, after.record.ends) == (before.began, before.ends)
        assert (after.record.person, after.record.id) == (before.person, before.id)


def test_a_page_whose_requests_all_save_at_once_loses_none() -> None:
    """Each that has to try again saw another one succeed."""
    session = begin()
    opened = threading.Barrier(SAVERS)
    failed: list[Exception] = []

    def save(number: int) -> None:
        mine = again(session)
        mine.open()
        opened.wait()
        mine[str(number)] = number
        try:
            mine.save()
        except SessionStoreError as error:
            failed.append(error)

    together(*(partial(save, number) for number in range(SAVERS)))
    assert failed == []
    found = again(session)
    assert [found[str(number)] for number in range(SAVERS)] == list(range(SAVERS))
