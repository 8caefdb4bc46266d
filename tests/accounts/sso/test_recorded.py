"""What a person's own comings and goings leave in the audit."""

from __future__ import annotations

from accounts.audit import Event
from accounts.audit.verification import verify
from accounts.models import AuditEntry
from backoffice.demo.provider import Provider
from tests.accounts.sso.person import CONTRACTOR, Person


def story(name: str = "") -> list[tuple[str, str]]:
    found = AuditEntry.objects.order_by("pk").exclude(event=Event.NEW_DEVICE)
    return list(found.values_list("event", "session_id"))


def test_sign_in_and_sign_out_are_recorded_with_the_session(idp: Provider) -> None:
    person = Person(idp)
    person.sign_in()
    session_id = str(person.session.session_id)
    person.site.post("/sign-out/")
    assert story() == [(Event.SIGNED_IN, session_id), (Event.SIGNED_OUT, session_id)]
    began = AuditEntry.objects.get(event=Event.SIGNED_IN)
    assert (began.address, began.actor) == ("127.0.0.1", began.subject)
    assert began.request_id
    assert verify().holds


def test_refused_sign_in_is_recorded_without_a_session(idp: Provider) -> None:
    Person(idp, CONTRACTOR).sign_in()
    assert story() == [(Event.SIGN_IN_REFUSED, "")]
    assert AuditEntry.objects.get().reason == "not-staff"


def test_end_of_ones_own_is_recorded_as_such(idp: Provider) -> None:
    here, there = Person(idp), Person(idp)
    there.sign_in()
    ended = str(there.session.session_id)
    here.sign_in()
    here.site.post("/sessions/end-others/")
    assert story()[-1] == (Event.ENDED, ended)


def test_second_sign_in_of_a_browser_replaces_the_first(idp: Provider) -> None:
    person = Person(idp)
    person.sign_in()
    first = str(person.session.session_id)
    person.sign_in()
    assert (Event.REPLACED, first) in story()
