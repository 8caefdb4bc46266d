"""That requests make sessions be renewed, and are never kept waiting for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from pytest_django.fixtures import Settings

from accounts.sessions import live
from accounts.sso import renewal, renewal_queue
from backoffice.demo.provider import Provider
from tests.accounts.sso.conftest import set_up
from tests.accounts.sso.person import SUPPORT, Person, move
from tests.conftest import Travel

pytestmark = pytest.mark.django_db(transaction=True)

RENEW = 900


@pytest.fixture(autouse=True)
def renewing(idp: Provider, settings: Settings) -> Iterator[None]:
    set_up(settings, renew_seconds=RENEW)
    yield
    assert renewal_queue.wait_until_idle()


@pytest.fixture
def due(person: Person, travel: Travel) -> Person:
    person.sign_in()
    travel.shift(RENEW + 1)
    return person


class Held:
    """In place of a renewal: takes as long as it is let."""

    def __init__(self) -> None:
        self.began, self.may_end = threading.Event(), threading.Event()
        self.asked: list[str] = []

    def __call__(self, session_id: str) -> None:
        self.asked.append(session_id)
        self.began.set()
        self.may_end.wait(60)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    slow = Held()
    monkeypatch.setattr(renewal, "renew", slow)
    yield slow
    slow.may_end.set()
    renewal_queue.wait_until_idle()


def test_use_of_a_due_session_has_it_renewed(due: Person, idp: Provider) -> None:
    move(idp, SUPPORT, "staff", "finance")
    assert due.site.get("/").status_code == 200
    assert renewal_queue.wait_until_idle()
    assert due.session["profile"]["groups"] == ["staff", "finance"]


def test_request_does_not_wait_for_the_provider(due: Person, held: Held) -> None:
    assert due.site.get("/").status_code == 200
    assert held.began.wait(60)
    assert not held.may_end.is_set()


def test_session_that_is_not_due_is_let_be(
    person: Person, held: Held, travel: Travel
) -> None:
    person.sign_in()
    travel.shift(RENEW - 60)
    person.site.get("/")
    assert renewal_queue.wait_until_idle()
    assert not held.asked


def test_session_is_in_the_queue_once(due: Person, held: Held, travel: Travel) -> None:
    for _ in range(3):
        due.site.get("/")
        travel.shift(61)
    held.may_end.set()
    renewal_queue.wait_until_idle()
    assert len(held.asked) == 1


def test_full_queue_takes_nothing_and_the_request_goes_on(
    due: Person, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewal_queue, "WAITING_AT_MOST", 0)
    assert due.site.get("/").status_code == 200
    assert renewal_queue.wait_until_idle()
    assert not held.asked


def test_renewal_that_breaks_is_logged_and_the_next_one_runs(
    due: Person,
    travel: Travel,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def breaks(session_id: str) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(renewal, "renew", breaks)
        due.site.get("/")
        renewal_queue.wait_until_idle()
    assert "renewal_broke" in caplog.text
    travel.shift(61)
    due.site.get("/")
    renewal_queue.wait_until_idle()
    assert due.session["renewal"][1] > renewal.clock.now()


def test_refused_renewal_shuts_the_next_request_out(due: Person, idp: Provider) -> None:
    idp.faults.add("refresh-refused")
    assert due.site.get("/").status_code == 200
    renewal_queue.wait_until_idle()
    assert due.site.get("/")["Location"].startswith("/sign-in/")
    assert live.count() == 0


def test_signing_out_gives_the_token_back(person: Person, idp: Provider) -> None:
    person.sign_in()
    token = person.session["renewal"][0]
    person.site.post("/sign-out/")
    assert renewal_queue.wait_until_idle()
    assert not idp.state.knows_refresh(token)
    assert [each.path for each in idp.requests].count("/revoke") == 1


def test_signing_out_does_not_wait_for_the_provider(
    person: Person, idp: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_end = threading.Event()
    monkeypatch.setattr(renewal_queue.refresh, "revoke", lambda *_: may_end.wait(60))
    person.sign_in()
    assert person.site.post("/sign-out/").status_code == 302
    assert not may_end.is_set()
    may_end.set()
