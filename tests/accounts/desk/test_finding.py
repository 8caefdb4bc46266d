from __future__ import annotations

import logging

import pytest
import structlog
from django.contrib.auth.models import Group
from django.test import Client

from accounts.audit import Event, record
from accounts.models import AuditEntry, User
from accounts.rights import Role
from accounts.sessions import live
from tests.accounts.desk.conftest import LIST, opened
from tests.accounts.sessions.conftest import sign_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

FIND = f"{LIST}find/"
AUDIT = "/admin/accounts/auditentry/"


def found(desk: Client, text: str, query: str = "") -> str:
    return str(desk.post(FIND + query, {"text": text})["Location"])


@pytest.mark.parametrize(
    "form", ["{key}", " {key}\n", "session_id={key}; csrftoken=x", '"{key}"']
)
def test_pasted_cookie_is_found_and_goes_nowhere(
    desk: Client, form: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    session = opened()
    answer = desk.post(FIND, {"text": form.format(key=session.session_key)})
    assert answer["Location"] == f"{LIST}{session.session_id}/"
    page = desk.get(answer["Location"]).content.decode()
    assert str(session.session_key) not in page + caplog.text
    rows = [str(row) for row in AuditEntry.objects.values()]
    assert str(session.session_key) not in "".join(rows)


def test_cookie_of_a_session_that_ended_finds_its_story(desk: Client) -> None:
    session = opened()
    live.end([str(session.session_id)], by="desk")
    where = found(desk, str(session.session_key))
    assert "Ended by a security admin" in desk.get(where).content.decode()


def test_cookie_that_never_was_is_said_and_not_repeated(desk: Client) -> None:
    unknown = "q" * 32
    assert found(desk, unknown) == LIST
    page = desk.get(LIST).content.decode()
    assert "No such session is live" in page
    assert unknown not in page


@pytest.mark.parametrize(
    "text",
    ["k" * 31, "A" * 40, "x" * 20 + "_" + "y" * 20, "YX0czz4k", "hq3f0a81xk2m9d7tw5zb"],
)
def test_part_of_a_cookie_is_not_put_into_an_address(desk: Client, text: str) -> None:
    assert found(desk, text, "?department=Legal") == LIST
    page = desk.get(LIST).content.decode()
    assert text not in page
    assert "32 characters" in page


@pytest.mark.parametrize("length", [12, 16, 20, 31])
def test_part_of_a_real_cookie_stands_nowhere(desk: Client, length: int) -> None:
    part = str(opened().session_key)[:length]
    assert found(desk, part) == LIST
    assert part not in desk.get(LIST).content.decode()


@pytest.mark.parametrize("name", ["q", "agent", "department", "session", "network"])
@pytest.mark.parametrize("length", [20, 32])
def test_cookie_in_a_filter_is_not_put_into_an_address(
    desk: Client, name: str, length: int
) -> None:
    part = "hq3f0a81xk2m9d7tw5zbc6v8n4j1p0rs"[:length]
    answer = desk.post(FIND, {name: part, "group": "support"})
    assert answer["Location"] == LIST
    page = desk.get(LIST).content.decode()
    assert part not in page
    assert "32 characters" in page


def test_filters_are_posted_and_stand_in_the_address_of_the_list(desk: Client) -> None:
    filters = {"q": "haneul", "agent": "chrome 156", "network": "", "group": "support"}
    where = desk.post(FIND, filters)["Location"]
    assert where == f"{LIST}?q=haneul&group=support&agent=chrome+156"


def test_whom_nobody_knows_is_said_and_not_repeated(desk: Client) -> None:
    assert found(desk, "nosuchname") == LIST
    page = desk.get(LIST).content.decode()
    assert "Nobody is known" in page
    assert "nosuchname" not in page


def test_session_id_leads_to_its_page(desk: Client) -> None:
    session = opened()
    assert found(desk, str(session.session_id)) == f"{LIST}{session.session_id}/"


def test_reference_a_person_was_shown_leads_to_the_session(desk: Client) -> None:
    session_id = str(opened().session_id)
    record(Event.KILLED, session_id=session_id)
    entry = AuditEntry.objects.get(event=Event.KILLED)
    assert found(desk, str(entry.pk)) == f"{LIST}{session_id}/"


@pytest.mark.parametrize("text", ["10.20.0.49", " 10.20.0.49\n", "10.20.0.0/16"])
def test_address_finds_its_sessions(desk: Client, text: str) -> None:
    session = opened("u-1", address="10.20.0.49")
    other = opened("u-2", address="10.21.0.49")
    where = found(desk, text)
    assert where.startswith(f"{LIST}?network=10.20.0.")
    page = desk.get(where).content.decode()
    assert str(session.session_id) in page
    assert str(other.session_id) not in page


@pytest.mark.parametrize(
    "request_id",
    ["0123456789abcdef", "f" * 32, "f47ac10b-58cc-4372-a567-0e02b2c3d479"],
)
def test_reference_of_an_error_page_leads_to_the_session(
    desk: Client, request_id: str
) -> None:
    session_id = str(opened().session_id)
    with structlog.contextvars.bound_contextvars(request_id=request_id):
        record(Event.CALL_REFUSED, session_id=session_id)
    assert found(desk, request_id) == f"{LIST}{session_id}/"


def test_reference_of_a_page_about_no_session_leads_to_its_entries(
    desk: Client,
) -> None:
    with structlog.contextvars.bound_contextvars(request_id="0123456789abcdef"):
        record(Event.SIGN_IN_REFUSED, subject="kim")
        record(Event.RIGHTS_CHANGED, subject="kim")
    where = found(desk, "0123456789abcdef")
    assert where == f"{AUDIT}?q=0123456789abcdef"
    page = desk.get(where).content.decode()
    assert "Sign-in refused" in page
    assert "Rights changed" in page


def test_reference_that_is_not_on_record_is_said_to_be_none(desk: Client) -> None:
    for text in ("fedcba9876543210", "e" * 32):
        assert found(desk, text) == LIST
        page = desk.get(LIST).content.decode()
        assert "No entry of the audit has this reference" in page
        assert text not in page


def test_reference_of_the_end_of_everyone_leads_to_its_entry(desk: Client) -> None:
    record(Event.CUT_OFF, actor="desk", reason="breach", details={"sessions": 20001})
    entry = AuditEntry.objects.get(event=Event.CUT_OFF)
    for text in (str(entry.pk), entry.reference.hex, str(entry.reference)):
        where = found(desk, text)
        assert where == f"{AUDIT}{entry.pk}/change/"
        page = desk.get(where).content.decode()
        assert "breach" in page
        assert "20001" in page


def test_entry_is_not_shown_to_those_who_may_not_read_the_audit(
    desk: Client, admin: User
) -> None:
    admin.groups.set(Group.objects.filter(name=Role.OPERATOR.value))
    sign_in(desk, admin)
    record(Event.CUT_OFF, actor="desk", reason="breach")
    entry = AuditEntry.objects.get(event=Event.CUT_OFF)
    assert found(desk, str(entry.pk)) == LIST
    assert "you may not read the audit" in desk.get(LIST).content.decode()


def test_name_narrows_the_list_with_what_is_set_already(desk: Client) -> None:
    where = found(desk, "haneul", "?department=Legal")
    assert where == f"{LIST}?q=haneul&department=Legal" or where == (
        f"{LIST}?department=Legal&q=haneul"
    )


def test_subject_of_somebody_may_look_like_a_secret(desk: Client) -> None:
    sub = "f47ac10b-58cc-4372-a567-0e02b2c3d479"
    opened(sub)
    assert found(desk, sub) == f"{LIST}?q={sub}"


def test_finding_is_no_get_and_needs_the_permission(desk: Client) -> None:
    assert desk.get(FIND).status_code == 405
    assert Client().post(FIND, {"text": "x"}).status_code == 302


def test_session_id_is_no_cookie(desk: Client) -> None:
    session = opened()
    thief = Client()
    thief.cookies["session_id"] = str(session.session_id)
    assert thief.get("/api/proxy/x/").status_code == 401
