from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django.fixtures import DjangoCaptureOnCommitCallbacks, Settings

from accounts import audit
from accounts.audit.writing import last_link
from accounts.models import AuditEntry
from tests.accounts.audit.test_verification import owner
from tests.conftest import use_store

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

NOWHERE = "redis://127.0.0.1:1/0"


def run(name: str, *arguments: str) -> tuple[int, str, str]:
    """The exit code, what stands on standard output, and what beside it."""
    out, beside = StringIO(), StringIO()
    try:
        call_command(name, *arguments, stdout=out, stderr=beside)
    except CommandError as error:
        return error.returncode, out.getvalue(), beside.getvalue() + str(error)
    return 0, out.getvalue(), beside.getvalue()


@pytest.fixture(autouse=True)
def _entries(
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    store: object,
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        for days in (40, 30, 1):
            moment = timezone.now() - timedelta(days=days)
            audit.record(audit.Event.SIGNED_IN, actor="haneul", at=moment)


def verdict(*arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run("verify_audit", "--json", *arguments)[1])
    return found


def test_chain_that_holds_is_0_and_says_its_end() -> None:
    end = last_link()
    code, out, beside = run("verify_audit")
    assert (code, beside) == (0, "")
    assert out == f"Entries: 3. The last is 3, {end.hash}.\n"
    assert verdict()["anchor"] == {"sequence": 3, "hash": end.hash}


def test_edited_entry_is_1_and_named() -> None:
    owner("UPDATE accounts_auditentry SET actor = 'nobody' WHERE id = 2")
    code, out, _ = run("verify_audit")
    assert code == 1
    assert "Entry 2: changed after it was written" in out
    assert verdict()["findings"] == [{"fault": "edited", "first": 2, "last": 2}]


def test_removed_end_is_1_because_the_store_has_seen_it() -> None:
    owner("DELETE FROM accounts_auditentry WHERE id >= 2")
    code, out, _ = run("verify_audit")
    assert code == 1
    assert "Entries 2 to 3: removed from the end" in out


def test_hash_from_elsewhere_is_asked_for_and_2_when_it_is_none() -> None:
    assert run("verify_audit", "--head", last_link().hash)[0] == 0
    assert run("verify_audit", "--head", "0" * 64)[0] == 1
    with pytest.raises(CommandError, match="no hash"):
        call_command("verify_audit", "--head", "x")


def test_store_away_is_3_and_the_chain_is_checked_all_the_same(
    settings: Settings,
) -> None:
    use_store(settings, NOWHERE)
    code, out, beside = run("verify_audit")
    assert (code, out[:11]) == (3, "Entries: 3.")
    assert "was not checked" in beside
    owner("UPDATE accounts_auditentry SET actor = 'nobody' WHERE id = 2")
    assert run("verify_audit")[0] == 1


def test_missing_trigger_and_waiting_entries_are_said() -> None:
    audit.record(audit.Event.KILLED, later=True)
    assert "1 entries wait" in run("verify_audit")[2]
    assert verdict()["held"] == 1


def test_export_writes_lines_and_leaves_an_entry() -> None:
    code, out, beside = run("export_audit", "--since", "35d ago")
    assert (code, beside) == (0, "")
    assert [json.loads(line)["sequence"] for line in out.splitlines()] == [2, 3]
    entry = AuditEntry.objects.get(event=audit.Event.AUDIT_EXPORTED)
    assert entry.details["lines"] == 2


def test_export_as_csv_begins_with_the_names_of_its_columns() -> None:
    out = run("export_audit", "--format", "csv", "--event", "session:signed-in")[1]
    assert out.startswith("sequence,at,event,actor,")
    assert len(out.splitlines()) == 4


@pytest.mark.parametrize(
    "arguments", [("--since", "yesterday"), ("--event", "no:such"), ("--format", "xml")]
)
def test_export_refuses_what_it_does_not_understand(arguments: list[str]) -> None:
    with pytest.raises(CommandError):
        call_command("export_audit", *arguments)
    assert not AuditEntry.objects.filter(event=audit.Event.AUDIT_EXPORTED).exists()


def test_trim_keeps_everything_unless_told_otherwise() -> None:
    code, out, _ = run("trim_audit")
    assert (code, out) == (0, "AUDIT_RETENTION_DAYS is not set: all is kept.\n")
    assert AuditEntry.objects.count() == 3


def test_trim_does_what_its_dry_run_said(settings: Settings) -> None:
    settings.AUDIT_RETENTION_DAYS = 20
    assert "would be removed: 2" in run("trim_audit", "--dry-run")[1]
    assert AuditEntry.objects.count() == 3
    assert json.loads(run("trim_audit", "--json")[1])["removed"] == 2
    code, _, beside = run("verify_audit")
    assert (code, beside) == (0, "Trimmed up to entry 2.\n")


def test_trim_leaves_evidence_and_is_1(settings: Settings) -> None:
    settings.AUDIT_RETENTION_DAYS = 20
    owner("UPDATE accounts_auditentry SET actor = 'nobody' WHERE id = 1")
    code, _, beside = run("trim_audit")
    assert (code, AuditEntry.objects.count()) == (1, 3)
    assert "Nothing was removed" in beside
