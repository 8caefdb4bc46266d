from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from pytest_django.fixtures import Settings

from accounts import audit
from accounts.audit import chain, triggers
from accounts.audit.chain import START, Link
from accounts.audit.verification import Fault, Verdict, verify
from accounts.audit.writing import last_link
from accounts.models import AuditEntry

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _five_entries() -> None:
    audit.record_all(
        [audit.Entry.of(audit.Event.KILLED, subject=name) for name in "abcde"]
    )


def owner(*statements: str) -> None:
    """Somebody who owns the database: the triggers do not hold them."""
    with connection.cursor() as cursor:
        for name in triggers.NAMES:
            cursor.execute(f"DROP TRIGGER IF EXISTS {name}")
        for statement in statements:
            cursor.execute(statement)
    triggers.make()


def found(verdict: Verdict) -> list[tuple[Fault, int, int]]:
    return [(each.fault, each.first, each.last) for each in verdict.findings]


def rewritten(number: int, **changes: Any) -> str:
    """Changes an entry and makes its hash and all later ones anew; not the seals."""
    owner()
    previous, statements = START, []
    for row in AuditEntry.objects.order_by("pk"):
        for name, value in changes.items() if row.pk == number else ():
            setattr(row, name, value)
        digest = chain.digest_of(row, row.pk, previous)
        statements.append(
            f"UPDATE accounts_auditentry SET subject = '{row.subject}', "
            f"previous = '{previous}', hash = '{digest}' WHERE id = {row.pk}"
        )
        previous = digest
    owner(*statements)
    return previous


def test_chain_that_nobody_touched_holds() -> None:
    verdict = verify(anchor=last_link())
    assert (verdict.holds, verdict.entries, verdict.unproven) == (True, 5, 0)
    assert verdict.missing_triggers == []


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("subject", "'nobody'"),
        ("actor", "'nobody'"),
        ("event", "'session:signed-out'"),
        ("at", "'2026-01-01 00:00:00'"),
        ("at", "'never'"),
        ("session_id", "'000000000000000000000000'"),
        ("address", "'192.0.2.1'"),
        ("address", "'nowhere'"),
        ("reason", "'another'"),
        ("details", "'{\"a\": 1}'"),
        ("details", "'[]'"),
        ("request_id", "'x'"),
        ("reference", "'00000000000000000000000000000001'"),
    ],
)
def test_edited_entry_is_named(column: str, value: str) -> None:
    owner(f"UPDATE accounts_auditentry SET {column} = {value} WHERE id = 3")
    assert found(verify()) == [(Fault.EDITED, 3, 3)]


def test_entry_that_cannot_be_read_is_named_and_the_rest_still_checked() -> None:
    owner(
        "UPDATE accounts_auditentry SET reference = 'none' WHERE id = 2",
        "UPDATE accounts_auditentry SET reason = 'another' WHERE id = 4",
    )
    assert found(verify()) == [(Fault.UNREADABLE, 2, 2), (Fault.EDITED, 4, 4)]


def test_removed_entries_are_named() -> None:
    owner("DELETE FROM accounts_auditentry WHERE id IN (2, 3)")
    assert found(verify()) == [(Fault.MISSING, 2, 3)]


def test_removed_first_entries_are_named() -> None:
    owner("DELETE FROM accounts_auditentry WHERE id <= 2")
    assert found(verify()) == [(Fault.MISSING, 1, 2)]


def test_gap_that_was_closed_by_renumbering_is_found() -> None:
    owner(
        "DELETE FROM accounts_auditentry WHERE id = 3",
        "UPDATE accounts_auditentry SET id = 3 WHERE id = 4",
        "UPDATE accounts_auditentry SET id = 4 WHERE id = 5",
    )
    assert (Fault.MISPLACED, 3, 3) in found(verify())


def test_reordered_entries_are_named() -> None:
    owner(
        "UPDATE accounts_auditentry SET id = 9 WHERE id = 3",
        "UPDATE accounts_auditentry SET id = 3 WHERE id = 4",
        "UPDATE accounts_auditentry SET id = 4 WHERE id = 9",
    )
    numbers = {first for fault, first, _ in found(verify()) if fault is Fault.EDITED}
    assert numbers == {3, 4}


def test_rewritten_chain_has_the_wrong_seals() -> None:
    rewritten(3, subject="nobody")
    assert found(verify()) == [(Fault.NOT_SEALED, n, n) for n in (3, 4, 5)]


def test_rewritten_chain_is_not_laundered_by_what_is_entered_afterwards() -> None:
    rewritten(3, subject="nobody")
    audit.record(audit.Event.SIGNED_IN)
    assert found(verify()) == [(Fault.NOT_SEALED, n, n) for n in (3, 4, 5)]


def test_rewriter_who_claims_a_forgotten_key_is_found() -> None:
    rewritten(3, subject="nobody")
    owner("UPDATE accounts_auditentry SET key = 'ffffffff' WHERE id >= 3")
    assert found(verify()) == [(Fault.NOT_SEALED, n, n) for n in (3, 4, 5)]


def test_newest_entries_that_were_taken_away_are_missed_by_the_store() -> None:
    anchor = last_link()
    owner("DELETE FROM accounts_auditentry WHERE id >= 4")
    assert verify().holds
    assert found(verify(anchor)) == [(Fault.CUT_OFF, 4, 5)]


def test_emptied_table_is_missed_by_the_store() -> None:
    anchor = last_link()
    owner("DELETE FROM accounts_auditentry")
    assert found(verify(anchor)) == [(Fault.CUT_OFF, 1, 5)]


def test_other_entry_in_the_place_that_the_store_has_seen_is_found() -> None:
    assert found(verify(Link(5, START))) == [(Fault.OTHER_HEAD, 5, 5)]


def test_hash_that_was_noted_elsewhere_must_be_there() -> None:
    noted = last_link().hash
    assert verify(heads=[noted]).holds
    owner("DELETE FROM accounts_auditentry WHERE id = 5")
    verdict = verify(heads=[noted])
    assert (verdict.holds, verdict.unknown_heads) == (False, [noted])


# SECRET_KEY is changed ----------------------------------------------------------------


def test_past_is_vouched_for_by_the_first_seal_of_the_next_key(
    settings: Settings,
) -> None:
    settings.SECRET_KEY = "another-" + "k" * 50
    assert verify().unproven == 5
    audit.record(audit.Event.SIGNED_IN)
    verdict = verify()
    assert (verdict.holds, verdict.unproven) == (True, 0)


def test_earlier_key_among_the_fallbacks_proves_its_own_entries(
    settings: Settings,
) -> None:
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another-" + "k" * 50
    assert (verify().holds, verify().unproven) == (True, 0)
    rewritten(5, subject="nobody")
    assert not verify().holds


def test_many_faults_are_counted_and_the_first_hundred_listed() -> None:
    entries = [audit.Entry.of(audit.Event.KILLED) for _ in range(150)]
    audit.record_all(entries)
    owner("UPDATE accounts_auditentry SET reason = 'another'")
    verdict = verify()
    assert (verdict.faults, len(verdict.findings)) == (155, 100)
