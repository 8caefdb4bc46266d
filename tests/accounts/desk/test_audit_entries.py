from __future__ import annotations

import re

import pytest
from django.contrib.admin import site
from django.contrib.auth.models import Group
from django.test import Client, RequestFactory

from accounts.audit import Event, record
from accounts.models import AuditEntry, User
from accounts.rights import Role
from tests.accounts.sessions.conftest import sign_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

AUDIT = "/admin/accounts/auditentry/"


@pytest.fixture
def entry() -> AuditEntry:
    record(Event.SIGNED_OUT, subject="somebody", session_id="b" * 24)
    record(
        Event.KILLED,
        actor="kim",
        subject="lee",
        session_id="a" * 24,
        address="203.0.113.7",
        reason="stolen laptop",
    )
    return AuditEntry.objects.get(event=Event.KILLED)


@pytest.mark.parametrize(
    "text", ["{0.pk}", "kim", "lee", "{0.session_id}", "203.0.113.7"]
)
def test_search_finds_the_one_and_not_the_other(
    desk: Client, entry: AuditEntry, text: str
) -> None:
    page = desk.get(AUDIT, {"q": text.format(entry)}).content.decode()
    assert "stolen laptop" in page
    assert "somebody" not in page


@pytest.mark.parametrize(
    "query", [{"event": "session:killed"}, {"at__gte": "2020-01-01 00:00:00+00:00"}]
)
def test_filters_by_event_and_date(
    desk: Client, entry: AuditEntry, query: dict[str, str]
) -> None:
    page = desk.get(AUDIT, query).content.decode()
    assert "stolen laptop" in page
    assert ("somebody" in page) == ("event" not in query)


def test_entry_leads_to_its_session_and_back(desk: Client, entry: AuditEntry) -> None:
    assert (
        f"/admin/accounts/livesession/{'a' * 24}/" in desk.get(AUDIT).content.decode()
    )
    page = desk.get(f"{AUDIT}{entry.pk}/change/").content.decode()
    assert "stolen laptop" in page
    assert 'name="_save"' not in page


def test_nobody_changes_an_entry(desk: Client, entry: AuditEntry) -> None:
    for path in (f"{entry.pk}/change/", f"{entry.pk}/delete/", "add/"):
        assert (
            desk.post(AUDIT + path, {"reason": "x", "post": "yes"}).status_code == 403
        )
    assert AuditEntry.objects.get(pk=entry.pk).reason == "stolen laptop"


def test_search_for_what_is_no_address_and_no_name_finds_nothing(
    desk: Client, entry: AuditEntry
) -> None:
    for text in ("203.0.113", "stolen", "ki"):
        page = desk.get(AUDIT, {"q": text}).content.decode()
        assert "stolen laptop" not in page


@pytest.mark.parametrize("text", ["kim", "203.0.113.7", "a" * 24])
def test_search_reads_indexes_and_not_the_whole_table(
    desk: Client, entry: AuditEntry, text: str
) -> None:
    request = RequestFactory().get(AUDIT)
    entries = site.get_model_admin(AuditEntry)
    found, _ = entries.get_search_results(request, AuditEntry.objects.all(), text)
    assert "SCAN" not in found.explain()


@pytest.fixture
def auditor(desk: Client, admin: User) -> Client:
    """The browser of somebody who reads the audit, and no sessions."""
    admin.groups.set(Group.objects.filter(name=Role.AUDITOR.value))
    sign_in(desk, admin)
    return desk


def test_auditor_gets_no_link_that_is_refused(
    entry: AuditEntry, auditor: Client
) -> None:
    page = auditor.get(AUDIT).content.decode()
    assert entry.session_id in page
    links = set(re.findall(r'href="(/[^"?#]*)', page))
    assert not [link for link in links if "livesession" in link]
    pages = [link for link in links if not link.startswith("/static/")]
    refused = [link for link in pages if auditor.get(link).status_code == 403]
    assert refused == []


def test_auditor_finds_the_audit_from_every_page(auditor: Client) -> None:
    for path in ("/", "/sessions/"):
        page = auditor.get(path).content.decode()
        assert f'href="{AUDIT}"' in page
        assert "livesession" not in page


def test_admin_finds_the_desk_and_no_second_way(desk: Client) -> None:
    page = desk.get("/").content.decode()
    assert "livesession" in page
    assert f'href="{AUDIT}"' not in page


def test_rows_that_nobody_changes_have_no_history(
    desk: Client, entry: AuditEntry, admin: User
) -> None:
    people = "/admin/accounts/user/"
    for row in (f"{AUDIT}{entry.pk}/", f"{people}{admin.pk}/"):
        assert "history/" not in desk.get(f"{row}change/").content.decode()
        assert desk.get(f"{row}history/").status_code == 404
