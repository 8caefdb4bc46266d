from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from accounts import audit
from accounts.audit import retention
from accounts.audit.retention import ChainBroken, Span, trim
from accounts.audit.verification import verify
from accounts.models import AuditEntry
from tests.accounts.audit.test_verification import owner

pytestmark = pytest.mark.django_db
NOW = timezone.now()
YEAR = NOW - timedelta(days=365)


@pytest.fixture(autouse=True)
def _five_entries() -> None:
    """1 to 3 are older than a year; 4 and 5 are not."""
    audit.record_all(
        [
            audit.Entry.of(audit.Event.KILLED, at=NOW - timedelta(days=days))
            for days in (800, 700, 600, 20, 10)
        ]
    )


def numbers() -> list[int]:
    return list(AuditEntry.objects.order_by("pk").values_list("pk", flat=True))


def test_old_entries_go_and_one_stands_for_them() -> None:
    last = AuditEntry.objects.get(pk=3)
    assert trim(YEAR, by="trim_audit") == Span(1, 3, 3)
    assert numbers() == [4, 5, 6]
    stub = AuditEntry.objects.get(pk=6)
    assert (stub.event, stub.actor) == (audit.Event.AUDIT_TRIMMED, "trim_audit")
    assert stub.details == {
        "first": 1,
        "last": 3,
        "count": 3,
        "first_at": (NOW - timedelta(days=800)).isoformat(),
        "last_at": last.at.isoformat(),
        "hash": last.hash,
        "count_ever": 3,
    }


def test_what_stays_can_be_verified_also_after_a_second_time() -> None:
    trim(YEAR, by="trim_audit")
    assert verify().holds
    trim(NOW - timedelta(days=15), by="trim_audit")
    assert (numbers(), verify().holds) == ([5, 6, 7], True)
    assert AuditEntry.objects.get(pk=7).details["count_ever"] == 4


def test_hash_of_the_last_that_went_is_still_known() -> None:
    noted = AuditEntry.objects.get(pk=3).hash
    trim(YEAR, by="trim_audit")
    assert verify(heads=[noted]).holds


def test_more_than_the_stub_stands_for_is_missed() -> None:
    trim(YEAR, by="trim_audit")
    owner("DELETE FROM accounts_auditentry WHERE id = 4")
    assert [(f.first, f.last) for f in verify().findings] == [(4, 4)]


def test_stub_that_somebody_made_up_is_found() -> None:
    trim(YEAR, by="trim_audit")
    owner(
        "UPDATE accounts_auditentry SET details = json_set(details, '$.last', 4) "
        "WHERE id = 6",
        "DELETE FROM accounts_auditentry WHERE id = 4",
    )
    assert not verify().holds


def test_young_entry_among_the_old_ends_what_may_go() -> None:
    assert trim(NOW - timedelta(days=650), by="trim_audit").last == 2
    assert numbers() == [3, 4, 5, 6]


def test_nothing_old_leaves_no_entry_behind() -> None:
    assert trim(NOW - timedelta(days=900), by="trim_audit") == Span()
    assert numbers() == [1, 2, 3, 4, 5]


def test_evidence_stays() -> None:
    owner("UPDATE accounts_auditentry SET subject = 'nobody' WHERE id = 2")
    with pytest.raises(ChainBroken, match="1 fault"):
        trim(YEAR, by="trim_audit")
    assert numbers() == [1, 2, 3, 4, 5]


def test_interrupted_run_is_no_fault_and_is_finished_by_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retention, "_remove", lambda first, last: None)
    trim(YEAR, by="trim_audit")
    monkeypatch.undo()
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM accounts_auditentry WHERE id = 1")
    assert verify().holds
    trim(YEAR, by="trim_audit")
    assert numbers() == [4, 5, 6]


def test_triggers_let_go_of_nothing_but_what_the_stub_stands_for() -> None:
    trim(YEAR, by="trim_audit")
    with (
        pytest.raises(IntegrityError, match="never changed"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute("DELETE FROM accounts_auditentry WHERE id = 4")
