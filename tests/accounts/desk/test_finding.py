from __future__ import annotations

import logging

import pytest
from django.test import Client

from accounts.audit import Event, record
from accounts.models import AuditEntry
from accounts.sessions import live
from tests.accounts.desk.conftest import LIST, opened

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

FIND = f"{LIST}find/"


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


@pytest.mark.parametrize("text", ["k" * 31, "A" * 40, "x" * 20 + "_" + "y" * 20])
def test_half_a_cookie_is_not_put_into_an_address(desk: Client, text: str) -> None:
    assert found(desk, text) == LIST
    assert text not in desk.get(LIST).content.decode()


def test_session_id_leads_to_its_page(desk: Client) -> None:
    session = opened()
    assert found(desk, str(session.session_id)) == f"{LIST}{session.session_id}/"


def test_reference_a_person_was_shown_leads_to_the_session(desk: Client) -> None:
    session_id = str(opened().session_id)
    record(Event.KILLED, session_id=session_id)
    entry = AuditEntry.objects.get(event=Event.KILLED)
    assert found(desk, str(entry.pk)) == f"{LIST}{session_id}/"


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
