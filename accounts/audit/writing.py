"""The one way in.

Order: a lock that only writers of this table take, the last link, the new rows. Many
processes write; two of them behind the same link would fork the chain.

What is decided must be recorded, and must not wait for it for ever: where SQL does not
take an entry within WAIT_SECONDS, the keeper has it (the session store, sealed), and
where that is away too, this process, until one of them is back.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from django.db import DatabaseError, connection, transaction

from accounts.audit import chain
from accounts.audit.chain import BEGINNING, Link
from accounts.audit.entry import Entry
from accounts.audit.events import Event
from accounts.audit_models import AuditEntry

log = logging.getLogger("audit")

WAIT_SECONDS = 2
BATCH = 500
# Any number that nobody else locks by; PostgreSQL takes 63 bits.
_LOCK = 0x0B0F_A0D1
# What names people or places stays in the table.
_KEPT_FROM_LOG = frozenset(
    {
        Event.SIGNED_IN,
        Event.ADDRESS_CHANGED,
        Event.AGENT_CHANGED,
        Event.NEW_DEVICE,
        Event.BULK_KILLED,
        Event.AUDIT_EXPORTED,
        Event.SUSPENDED,
        Event.RESTORED,
    }
)


class Keeper(Protocol):
    """Where entries wait while SQL is away, and where the last link is noted.

    Neither raises: `hold` tells whether it has them.
    """

    def hold(self, entries: Sequence[Entry]) -> bool: ...

    def anchor(self, link: Link) -> None: ...


_keeper: Keeper | None = None
waiting: deque[Entry] = deque(maxlen=20_000)


def keep_with(keeper: Keeper | None) -> None:
    """Names the keeper; the arrows of this project forbid to import it here."""
    global _keeper
    _keeper = keeper


def record(event: Event, *, later: bool = False, **fields: Any) -> None:
    """Enters one event; fields are those of `Entry.of`. See `record_all`."""
    record_all([Entry.of(event, **fields)], later=later)


def record_all(entries: Sequence[Entry], *, later: bool = False) -> None:
    """Enters these, in this order; all of them or none.

    Does not raise for want of SQL: what cannot be written now is kept and written when
    it can. `later` does not even try, for calls that have no time for SQL.
    """
    try:
        if entries and not later:
            _append(entries)
            return
    except DatabaseError as error:
        log.error("audit_delayed entries=%d because=%s", len(entries), _word(error))
    if entries:
        _hold(entries)


def append_missing(entries: Iterable[Entry], wait: float = WAIT_SECONDS) -> int:
    """Enters those that are not there yet; tells how many.

    Raises DatabaseError, after `wait` seconds where somebody else holds the table.
    """
    by_reference = {entry.reference: entry for entry in entries}
    with _turn(wait):
        for known in _known(list(by_reference)):
            by_reference.pop(known, None)
        _write(list(by_reference.values()))
    return len(by_reference)


def last_link() -> Link:
    """Where the chain ends now."""
    found = AuditEntry.objects.values_list("pk", "hash").first()
    return Link(*found) if found else BEGINNING


def _append(entries: Sequence[Entry]) -> None:
    with _turn(WAIT_SECONDS):
        _write(entries)


def _write(entries: Sequence[Entry]) -> None:
    last, rows = last_link(), []
    for entry in entries:
        rows.append(chain.linked(entry, last))
        last = Link(rows[-1].pk, rows[-1].hash)
    AuditEntry.objects.bulk_create(rows, batch_size=BATCH)
    # Not before it is certain: whoever rolls back takes the entry with them.
    transaction.on_commit(lambda: _tell(rows), robust=True)


def _known(references: Sequence[Any]) -> Iterator[Any]:
    for start in range(0, len(references), BATCH):
        part = references[start : start + BATCH]
        found = AuditEntry.objects.filter(reference__in=part)
        yield from found.values_list("reference", flat=True)


@contextmanager
def _turn(wait: float) -> Iterator[None]:
    """A transaction in which nobody else adds entries, waited for but not for long."""
    with _patience(wait), transaction.atomic():
        if connection.vendor == "postgresql":
            _execute(f"SELECT pg_advisory_xact_lock({_LOCK})")
        # SQLite has one writer, and a transaction here begins as a writer (settings).
        yield


@contextmanager
def _patience(wait: float) -> Iterator[None]:
    """Waits for locks, but not for long: to be slow is allowed, to hang is not."""
    if connection.vendor == "postgresql":
        brief = f"SET lock_timeout = {int(wait * 1000)}"
        usual = "RESET lock_timeout"
    else:
        seconds = connection.settings_dict["OPTIONS"].get("timeout", 5)
        brief = f"PRAGMA busy_timeout = {int(wait * 1000)}"
        usual = f"PRAGMA busy_timeout = {int(seconds * 1000)}"
    _execute(brief)
    try:
        yield
    finally:
        # A broken transaction takes no statement, and forgets this one anyway.
        if not connection.needs_rollback:
            _execute(usual)


def _execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def _hold(entries: Sequence[Entry]) -> None:
    if _keeper is None or not _keeper.hold(entries):
        log.error("audit_waits entries=%d", len(entries))
        waiting.extend(entries)
    for entry in entries:
        _line(entry, written=False)


def _tell(rows: Sequence[AuditEntry]) -> None:
    for row in rows:
        _line(row, sequence=row.pk, hash=row.hash)
    if _keeper is not None:
        _keeper.anchor(Link(rows[-1].pk, rows[-1].hash))


def _line(entry: Entry | AuditEntry, **facts: Any) -> None:
    """One line for a SIEM. People are in it by pseudonym, their addresses not at all.

    Line breaks, escape signs and the like are encoded by the log's form (LOG-03).
    """
    details = {} if entry.event in _KEPT_FROM_LOG else entry.details
    found = {
        "at": entry.at.isoformat(timespec="milliseconds"),
        "session_id": entry.session_id,
        "actor": entry.actor and chain.pseudonym(entry.actor),
        "subject": entry.subject and chain.pseudonym(entry.subject),
        "reason": entry.reason,
        "details": details,
        "reference": entry.reference.hex,
    }
    extra = {name: value for name, value in found.items() if value} | facts
    log.info("%s", entry.event, extra=extra)


def _word(error: Exception) -> str:
    return type(error).__name__
