"""What a person's own comings and goings leave in the audit."""

from __future__ import annotations

import redis

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


def test_sign_ins_that_lead_to_nobody_are_recorded_once_in_ten_minutes(
    idp: Provider, store: redis.Redis
) -> None:
    """Anybody can start one and refuse it; what they leave in SQL stays for good."""

    def cancel() -> None:
        person = Person(idp)
        said = {"error": "access_denied", "iss": idp.issuer}
        answer = person.come_back("", state=person.asked()["state"], **said)
        assert answer.status_code == 403
        person.close()

    for _ in range(20):
        cancel()
    assert story() == [(Event.SIGN_IN_REFUSED, "")]
    assert AuditEntry.objects.get().reason == "cancelled"
    (note,) = store.keys("bo:{i}:n:*")
    assert 0 < store.ttl(note) <= 600
    store.delete(note)
    cancel()
    assert len(story()) == 2


def test_each_refusal_of_somebody_whom_the_provider_knows_is_recorded(
    idp: Provider,
) -> None:
    for _ in range(3):
        Person(idp, CONTRACTOR).sign_in()
    assert story() == [(Event.SIGN_IN_REFUSED, "")] * 3


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
