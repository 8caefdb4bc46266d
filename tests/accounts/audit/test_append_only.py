from __future__ import annotations

import pytest
from django.db import IntegrityError, connection, transaction

from accounts import audit
from accounts.audit import triggers
from accounts.audit_models import NeverChanged
from accounts.models import AuditEntry

pytestmark = pytest.mark.django_db


@pytest.fixture
def entry() -> AuditEntry:
    audit.record(audit.Event.KILLED, subject="haneul")
    return AuditEntry.objects.get()


def test_model_refuses_to_save_or_delete_an_entry(entry: AuditEntry) -> None:
    entry.subject = "nobody"
    for attempt in (entry.save, entry.delete):
        with pytest.raises(NeverChanged):
            attempt()


def test_query_refuses_to_add_change_or_delete(entry: AuditEntry) -> None:
    for attempt in (
        AuditEntry.objects.create,
        AuditEntry.objects.all().delete,
        lambda: AuditEntry.objects.update(subject="nobody"),
    ):
        with pytest.raises(NeverChanged):
            attempt()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE accounts_auditentry SET subject = 'nobody'",
        "DELETE FROM accounts_auditentry",
        "INSERT OR REPLACE INTO accounts_auditentry SELECT * FROM accounts_auditentry",
    ],
)
def test_sql_refuses_whoever_asks(entry: AuditEntry, statement: str) -> None:
    with (
        pytest.raises(IntegrityError, match="never changed"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)
    assert AuditEntry.objects.get().subject == "haneul"


def test_missing_trigger_is_noticed_and_made_again() -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP TRIGGER audit_no_delete")
    assert triggers.missing() == ["audit_no_delete"]
    triggers.make()
    assert triggers.missing() == []
