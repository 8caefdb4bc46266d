"""Suspended people: refused at each way in, and in each moment of a race."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError
from django.utils import timezone
from pytest_django.fixtures import Settings

from accounts import suspension
from accounts.models import AuditEntry, Revocation, Suspension, User
from accounts.sessions import clock, fence, kill, live, marks
from accounts.sessions.signals import touched
from accounts.sessions.store import SessionStore
from accounts.sso import pipeline, renewal, renewal_queue, suspending
from accounts.sso.renewal import Result
from accounts.suspension import Person as Who
from backoffice.demo.provider import Provider
from tests.accounts.sso.conftest import set_up
from tests.accounts.sso.person import SUPPORT, Person, assert_refused, assert_signed_in
from tests.conftest import Travel, use_store

Log = pytest.LogCaptureFixture
Patch = pytest.MonkeyPatch
ADDRESS = "Jihoon.Park@example.com"


def who(idp: Provider, **fields: str) -> Who:
    return Who(idp.issuer, **(fields or {"sub": SUPPORT}))


def suspend(
    idp: Provider, person: Who | None = None, until: datetime | None = None
) -> live.Outcome:
    person = person or who(idp)
    return suspending.suspend(person, by="desk", reason="phone stolen", until=until)


def is_live(key: str | None) -> bool:
    record = SessionStore(key).record
    return record is not None and bool(record.person)


# Refused ----------------------------------------------------------------------------


def test_suspension_ends_all_sessions_and_refuses_the_next_sign_in(
    person: Person, another: Person, idp: Provider, caplog: Log
) -> None:
    person.sign_in(), another.sign_in()
    outcome = suspend(idp)
    assert (len(outcome.ended), outcome.durable, outcome.incomplete) == (2, True, False)
    assert live.count() == 0
    answer = person.sign_in()
    assert_refused(answer, person, caplog, kind="suspended", status=403)
    page = answer.content.decode()
    assert "Your account is switched off" in page
    assert "phone stolen" not in page


def test_suspension_is_recorded_and_so_is_the_refusal(
    person: Person, idp: Provider
) -> None:
    person.sign_in()
    suspend(idp)
    person.sign_in()
    entry = AuditEntry.objects.get(event="person:suspended")
    assert (entry.actor, entry.reason) == ("desk", "phone stolen")
    assert (entry.details["sub"], entry.details["ended"]) == (SUPPORT, 1)
    refusal = AuditEntry.objects.get(event="sign-in:refused")
    assert refusal.reason == "suspended"


def test_others_are_not_touched(person: Person, another: Person, idp: Provider) -> None:
    another.sub = "demo-1005"
    another.sign_in()
    suspend(idp)
    assert another.signed_in_as == "demo-1005"
    assert_signed_in(another.sign_in(), another)


def test_same_sub_at_another_provider_is_somebody_else(
    person: Person, idp: Provider
) -> None:
    elsewhere = Who("https://other.example", SUPPORT)
    suspending.suspend(elsewhere, by="desk", reason="left")
    assert_signed_in(person.sign_in(), person)


def test_who_never_signed_in_gets_no_account(person: Person, idp: Provider) -> None:
    assert suspend(idp).durable
    assert person.sign_in().status_code == 403
    assert not User.objects.exists()


def test_step_up_is_refused(person: Person, idp: Provider, caplog: Log) -> None:
    person.sign_in()
    back = person.authorize(
        person.site.post("/sso/step-up/", {"next": "/"})["Location"]
    )
    Suspension.objects.create(issuer=idp.issuer, sub=SUPPORT, name="x")
    answer = person.come_back(back)
    assert answer.status_code == 403
    assert person.signed_in_as is None
    assert live.count() == 0


# By e-mail --------------------------------------------------------------------------


def suspend_address(idp: Provider) -> None:
    suspending.suspend(who(idp, email=ADDRESS), by="desk", reason="left")


def test_verified_address_refuses_and_stores_who_it_is(
    person: Person, idp: Provider
) -> None:
    suspend_address(idp)
    assert person.sign_in().status_code == 403
    row = Suspension.objects.get()
    assert (row.sub, row.name) == (SUPPORT, "jihoon.park")
    # From now on by sub: another address does not help.
    moved = replace(idp.state.staff[SUPPORT], email="other@example.com")
    idp.state.staff[SUPPORT] = moved
    assert person.sign_in().status_code == 403


def test_who_gets_the_address_of_somebody_known_is_not_suspended(
    person: Person, another: Person, idp: Provider
) -> None:
    suspend_address(idp)
    person.sign_in()
    another.sub = "demo-1005"
    heir = replace(idp.state.staff[another.sub], email=ADDRESS)
    idp.state.staff[another.sub] = heir
    assert_signed_in(another.sign_in(), another)


def test_address_that_nobody_verified_refuses_but_says_not_who_it_is(
    person: Person, idp: Provider, monkeypatch: Patch
) -> None:
    monkeypatch.setattr(pipeline, "verified_domain", lambda said: "")
    suspend_address(idp)
    assert person.sign_in().status_code == 403
    assert Suspension.objects.get().sub == ""


def test_address_ends_what_an_account_with_it_has_open(
    person: Person, idp: Provider
) -> None:
    person.sign_in()
    suspend_address(idp)
    assert person.signed_in_as is None


# Lifted -----------------------------------------------------------------------------


def test_lifted_by_hand_lets_in_and_is_recorded(person: Person, idp: Provider) -> None:
    suspend(idp), suspend(idp)
    assert suspension.lift(who(idp), by="desk", reason="phone found") == 2
    assert_signed_in(person.sign_in(), person)
    assert AuditEntry.objects.filter(event="person:restored").count() == 2
    assert suspension.lift(who(idp), by="desk", reason="again") == 0


def test_lifted_at_its_time_lets_in_and_is_noted_once(
    person: Person, idp: Provider
) -> None:
    suspend(idp, until=timezone.now() + timedelta(days=1))
    assert person.sign_in().status_code == 403
    Suspension.objects.update(until=timezone.now() - timedelta(seconds=1))
    assert_signed_in(person.sign_in(), person)
    assert (suspension.note_over(), suspension.note_over()) == (1, 0)
    entry = AuditEntry.objects.get(event="person:restored")
    assert (entry.actor, entry.subject) == ("system", SUPPORT)


def test_its_time_goes_by_the_databases_clock(
    person: Person, idp: Provider, travel: Travel
) -> None:
    """A host whose clock is a day fast lets nobody in early."""
    suspend(idp, until=timezone.now() + timedelta(hours=1))
    travel.shift(86_400)
    assert suspension.current(idp.issuer, SUPPORT)


# Races ------------------------------------------------------------------------------


Act = Callable[[], object]


def before_the_write(patch: Patch, act: Act) -> None:
    real = SessionStore.begin

    def begin(self: SessionStore, *args: Any, **kwargs: Any) -> None:
        act()
        real(self, *args, **kwargs)

    patch.setattr(SessionStore, "begin", begin)


def before_the_check(patch: Patch, act: Act) -> None:
    real = suspension.check

    def check(*args: Any) -> None:
        act()
        real(*args)

    patch.setattr(suspension, "check", check)


def after_the_check(patch: Patch, act: Act) -> None:
    real = suspension.check

    def check(*args: Any) -> None:
        real(*args)
        act()

    patch.setattr(suspension, "check", check)


@pytest.mark.parametrize("by", ["sub", "email"])
@pytest.mark.parametrize("has_marks", [True, False])
@pytest.mark.parametrize("when", [before_the_write, before_the_check, after_the_check])
def test_suspension_at_each_moment_of_a_sign_in_wins(
    person: Person,
    idp: Provider,
    monkeypatch: Patch,
    when: Callable[[Patch, Act], None],
    has_marks: bool,
    by: str,
) -> None:
    """Also without the marks that kills leave, which go by the clocks of two hosts."""
    if not has_marks:
        monkeypatch.setattr(marks, "leave", lambda *args: None)
    fields = {"sub": SUPPORT} if by == "sub" else {"email": ADDRESS}
    when(monkeypatch, lambda: suspend(idp, who(idp, **fields)))
    person.sign_in()
    assert Suspension.objects.exists()
    assert person.signed_in_as is None
    assert live.count() == 0


@pytest.mark.parametrize("when", [before_the_check, after_the_check])
def test_suspension_at_each_moment_of_a_step_up_wins(
    person: Person,
    idp: Provider,
    monkeypatch: Patch,
    when: Callable[[Patch, Act], None],
) -> None:
    person.sign_in()
    back = person.authorize(
        person.site.post("/sso/step-up/", {"next": "/"})["Location"]
    )
    monkeypatch.setattr(marks, "leave", lambda *args: None)
    when(monkeypatch, lambda: suspend(idp))
    person.come_back(back)
    assert Suspension.objects.exists()
    assert live.count() == 0


def test_check_that_cannot_be_made_leaves_nobody_signed_in(
    person: Person, monkeypatch: Patch
) -> None:
    def away(*args: Any) -> None:
        raise DatabaseError

    monkeypatch.setattr(suspension, "check", away)
    assert person.sign_in().status_code == 503
    assert person.signed_in_as is None
    assert live.count() == 0


# Renewal ----------------------------------------------------------------------------


@pytest.fixture
def due(person: Person, settings: Settings, travel: Travel) -> Any:
    """Signed in, and the time to ask the provider again has come."""
    set_up(settings, renew_seconds=900)
    touched.disconnect(renewal_queue.note_use)
    person.sign_in()
    travel.shift(901)
    yield person
    touched.connect(renewal_queue.note_use)


def test_renewal_of_a_suspended_person_asks_nobody_and_ends_everything(
    due: Person, idp: Provider
) -> None:
    """The row alone, as where the kill has not arrived."""
    Suspension.objects.create(issuer=idp.issuer, sub=SUPPORT, name="x")
    idp.requests.clear()
    assert renewal.renew(str(due.session.session_id)) is Result.ENDED
    assert live.count() == 0
    assert not [each for each in idp.requests if each.path == "/token"]


@pytest.mark.parametrize("step", ["_keep", "_learn", "_apply"])
def test_suspension_during_a_renewal_wins(
    due: Person, idp: Provider, monkeypatch: Patch, step: str
) -> None:
    real = getattr(renewal._Renewal, step)

    def interrupted(self: Any, *args: Any) -> Any:
        suspend(idp)
        return real(self, *args)

    monkeypatch.setattr(renewal._Renewal, step, interrupted)
    found = renewal.renew(str(due.session.session_id))
    assert found is not Result.RENEWED
    assert live.count() == 0


def test_refresh_token_is_revoked_at_the_provider(due: Person, idp: Provider) -> None:
    token = due.session["renewal"][0]
    assert idp.state.knows_refresh(token)
    suspend(idp)
    assert renewal_queue.wait_until_idle()
    assert not idp.state.knows_refresh(token)


# Outages ----------------------------------------------------------------------------


def test_with_the_store_away_it_stands_and_ends_them_when_the_store_is_back(
    person: Person, idp: Provider, settings: Settings
) -> None:
    person.sign_in()
    key, url = person.session_key, settings.CACHES["sessions"]["LOCATION"]
    use_store(settings, "redis://127.0.0.1:1/0")
    outcome = suspend(idp)
    assert (outcome.pending, outcome.durable) == (True, True)
    use_store(settings, url)
    assert not is_live(key)
    assert person.sign_in().status_code == 403


def test_a_store_that_fell_back_loses_their_sessions_again(
    person: Person, idp: Provider
) -> None:
    person.sign_in()
    key = str(person.session_key)
    name = SessionStore(key).record
    assert name
    store = kill.agreeing_store()
    value, expiry = store.get(name.name), store.pexpiretime(name.name)
    index = {each: store.dump(each) for each in store.scan_iter() if each}
    suspend(idp)
    store.flushall()
    for each, dump in index.items():
        store.restore(each, 0, dump)
    store.set(name.name, value, pxat=expiry)
    fence.lower()
    assert not is_live(key)


def test_with_sql_away_sessions_end_and_the_outcome_says_that_it_does_not_last(
    person: Person, idp: Provider, monkeypatch: Patch
) -> None:
    person.sign_in()

    def away(*args: Any, **kwargs: Any) -> None:
        raise DatabaseError

    monkeypatch.setattr(Revocation.objects, "bulk_create", away)
    outcome = suspend(idp)
    assert (outcome.durable, len(outcome.ended)) == (False, 1)
    monkeypatch.undo()
    assert not Suspension.objects.exists()
    assert not AuditEntry.objects.filter(event="person:suspended").exists()


def test_session_that_began_by_a_clock_ahead_of_ours_is_ended_as_well(
    person: Person, idp: Provider, travel: Travel
) -> None:
    travel.shift(30)
    person.sign_in()
    travel.shift(-30)
    # Another process, whose clock is right.
    clock.reset()
    outcome = suspend(idp)
    assert len(outcome.ended) == 1
    assert not outcome.incomplete
