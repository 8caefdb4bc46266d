from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis
import structlog
from django.db import DatabaseError, connection, transaction
from pytest_django.fixtures import DjangoCaptureOnCommitCallbacks, Settings

from accounts import audit, keys
from accounts.audit import chain, writing
from accounts.audit.chain import START, Link
from accounts.models import AuditEntry
from accounts.sessions import audit_copy
from accounts.sessions.store import TOUCH_SECONDS
from tests.accounts.sessions.conftest import begin, is_live
from tests.conftest import Travel, use_store

NOWHERE = "redis://127.0.0.1:1/0"
pytestmark = pytest.mark.django_db


@pytest.fixture
def no_table(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """SQL takes no entry."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise DatabaseError("locked")

    with monkeypatch.context() as patched:
        patched.setattr(AuditEntry.objects, "bulk_create", refuse)
        yield patched


def rows() -> list[AuditEntry]:
    return list(AuditEntry.objects.order_by("pk"))


def test_entries_are_numbered_and_each_names_the_one_before() -> None:
    for name in ("a", "b", "c"):
        audit.record(audit.Event.SIGNED_IN, actor=name)
    found = rows()
    assert [row.pk for row in found] == [1, 2, 3]
    assert [row.previous for row in found] == [START, found[0].hash, found[1].hash]
    assert writing.last_link() == Link(3, found[2].hash)


def test_what_sql_gives_back_has_the_hash_of_what_was_entered() -> None:
    audit.record(
        audit.Event.KILLED,
        actor="haneul\0\ud800",
        subject="s" * 300,
        session_id="0" * 24,
        address="2001:DB8::1%eth0",
        reason="왜\r\n\x1b\u2028" + "r" * 600,
        details={"n": 2**60, "f": 1.50, "when": datetime(2026, 1, 1, tzinfo=UTC)},
    )
    (row,) = rows()
    assert chain.digest_of(row, 1, START) == row.hash
    assert chain.is_sealed(row) is True
    assert row.actor == "haneul\N{REPLACEMENT CHARACTER}?"
    assert row.details == {"n": 2**60, "f": "1.5", "when": "2026-01-01 00:00:00+00:00"}


def test_several_at_once_are_all_there_or_none(no_table: pytest.MonkeyPatch) -> None:
    audit.record_all([audit.Entry.of(audit.Event.KILLED, actor=n) for n in "abc"])
    assert rows() == []
    assert [entry.actor for entry in writing.waiting] == ["a", "b", "c"]


def test_entry_of_a_transaction_that_is_undone_leaves_no_trace() -> None:
    audit.record(audit.Event.SIGNED_IN, actor="before")
    with transaction.atomic():
        audit.record(audit.Event.SIGNED_IN, actor="undone")
        transaction.set_rollback(True)
    audit.record(audit.Event.SIGNED_IN, actor="after")
    assert [row.actor for row in rows()] == ["before", "after"]


def test_sql_that_is_locked_is_waited_for_as_usual_afterwards() -> None:
    audit.record(audit.Event.SIGNED_IN)
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout")
        assert cursor.fetchone() == (5000,)


# While SQL is away --------------------------------------------------------------------


@pytest.mark.usefixtures("store")
def test_what_sql_does_not_take_waits_sealed_in_the_store_and_is_written_later(
    store: redis.Redis, no_table: pytest.MonkeyPatch
) -> None:
    audit.record(audit.Event.KILLED, subject="haneul", reason="stolen")
    (held,) = store.hgetall(keys.HELD_ENTRIES).values()
    assert b"haneul" not in held
    with pytest.raises(DatabaseError):
        audit_copy.settle()
    no_table.undo()
    assert audit_copy.settle() == 1
    assert [(row.subject, row.reason) for row in rows()] == [("haneul", "stolen")]
    assert audit_copy.count_held() == 0


@pytest.mark.usefixtures("store")
def test_what_is_settled_twice_is_written_once(store: redis.Redis) -> None:
    audit.record(audit.Event.KILLED, later=True)
    before = store.hgetall(keys.HELD_ENTRIES)
    audit_copy.settle()
    store.hset(keys.HELD_ENTRIES, mapping=before)
    assert audit_copy.settle() == 0
    assert len(rows()) == 1


@pytest.mark.usefixtures("store")
def test_held_entry_that_we_did_not_seal_is_not_written(store: redis.Redis) -> None:
    store.hset(keys.HELD_ENTRIES, "x", b"made up")
    assert audit_copy.settle() == 0
    assert rows() == []


def test_with_store_and_sql_away_the_process_keeps_it(
    store: redis.Redis, settings: Settings, no_table: pytest.MonkeyPatch
) -> None:
    here = settings.CACHES["sessions"]["LOCATION"]
    use_store(settings, NOWHERE)
    audit.record(audit.Event.KILLED, subject="haneul")
    no_table.undo()
    use_store(settings, here)
    audit_copy.settle_if_any()
    assert [row.subject for row in rows()] == ["haneul"]
    assert not writing.waiting


# The copy of the last link, and the log -----------------------------------------------


@pytest.mark.usefixtures("store")
def test_store_knows_where_the_chain_ended_and_never_goes_back(
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    assert audit_copy.anchored() is None
    with django_capture_on_commit_callbacks(execute=True):
        audit.record(audit.Event.SIGNED_IN)
        audit.record(audit.Event.SIGNED_OUT)
    last = writing.last_link()
    assert audit_copy.anchored() == last
    audit_copy.anchor(Link(1, START))
    assert audit_copy.anchored() == last


def test_log_line_has_the_place_in_the_chain_and_nobodys_name(
    caplog: pytest.LogCaptureFixture,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    with (
        caplog.at_level(logging.INFO, "audit"),
        structlog.contextvars.bound_contextvars(request_id="r" * 16),
        django_capture_on_commit_callbacks(execute=True),
    ):
        audit.record(
            audit.Event.KILLED,
            actor="haneul",
            subject="minsu",
            session_id="0" * 24,
            address="192.0.2.7",
        )
    (row,) = rows()
    (line,) = [record for record in caplog.records if record.name == "audit"]
    said = {**vars(line)}
    assert (said["sequence"], said["hash"]) == (row.pk, row.hash)
    assert (said["session_id"], row.request_id) == ("0" * 24, "r" * 16)
    assert said["actor"] == chain.pseudonym("haneul") != said["subject"]
    text = json.dumps(said, default=str)
    assert not any(word in text for word in ("haneul", "minsu", "192.0.2.7"))


def test_details_that_name_places_stay_out_of_the_log(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    with caplog.at_level(logging.INFO, "audit"):
        details = {"before": "192.0.2.7"}
        audit.record(audit.Event.ADDRESS_CHANGED, details=details, later=True)
    assert "192.0.2.7" not in json.dumps(vars(caplog.records[-1]), default=str)


@pytest.mark.usefixtures("store")
def test_next_use_of_a_session_writes_what_was_held(travel: Travel) -> None:
    session = begin()
    audit.record(audit.Event.KILLED, subject="minsu", later=True)
    travel.shift(TOUCH_SECONDS + 1)
    assert is_live(session)
    assert [row.subject for row in rows()] == ["minsu"]
