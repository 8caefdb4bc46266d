"""Walks the chain from its first entry to its last and says where it does not hold."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from accounts.audit import chain, triggers
from accounts.audit.chain import BEGINNING, Link
from accounts.audit.events import Event
from accounts.audit_models import AuditEntry

BATCH = 1000
LISTED_AT_MOST = 100


class Fault(StrEnum):
    """What can be wrong with an entry, or with the place of one that is gone."""

    EDITED = "edited"
    UNREADABLE = "unreadable"
    MISPLACED = "misplaced"
    NOT_SEALED = "not-sealed"
    MISSING = "missing"
    CUT_OFF = "cut-off"
    OTHER_HEAD = "other-head"


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault: of the entries from `first` to `last`, by their numbers."""

    fault: Fault
    first: int
    last: int

    def __str__(self) -> str:
        plural = self.first != self.last
        which = f"ies {self.first} to {self.last}" if plural else f"y {self.first}"
        return f"Entr{which}: {_SENTENCES[self.fault]}"


_SENTENCES = {
    Fault.EDITED: "changed after it was written, or moved here from another place.",
    Fault.UNREADABLE: "cannot be read any more.",
    Fault.MISPLACED: "does not follow the entry before: removed, reordered or put in.",
    Fault.NOT_SEALED: "was not written by this site.",
    Fault.MISSING: "removed.",
    Fault.CUT_OFF: "removed from the end: the store has seen it.",
    Fault.OTHER_HEAD: "is not the one that the store has seen in this place.",
}


@dataclass(slots=True)
class Verdict:
    """What the walk saw. `unproven`: sealed by a key that is not known any more."""

    entries: int = 0
    unproven: int = 0
    faults: int = 0
    findings: list[Finding] = field(default_factory=list)
    end: Link = BEGINNING
    stub: dict[str, Any] | None = None
    unknown_heads: list[str] = field(default_factory=list)
    missing_triggers: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return not (self.faults or self.unknown_heads)

    def find(self, fault: Fault, first: int, last: int | None = None) -> None:
        self.faults += 1
        if len(self.findings) < LISTED_AT_MOST:
            self.findings.append(Finding(fault, first, last or first))


def verify(anchor: Link | None = None, heads: Collection[str] = ()) -> Verdict:
    """Every entry, against its neighbours, the anchor and hashes noted elsewhere.

    Read the anchor before: what is written during the walk is no fault. Raises
    DatabaseError.
    """
    verdict = Verdict(stub=last_stub(), missing_triggers=triggers.missing())
    wanted = set(heads)
    for row in walk(verdict):
        wanted.discard(row.hash)
        if anchor and row.pk == anchor.sequence and row.hash != anchor.hash:
            verdict.find(Fault.OTHER_HEAD, row.pk)
    if anchor and anchor.sequence > verdict.end.sequence:
        verdict.find(Fault.CUT_OFF, verdict.end.sequence + 1, anchor.sequence)
    if verdict.stub:
        wanted.discard(verdict.stub["hash"])
    verdict.unknown_heads = sorted(wanted)
    return verdict


def walk(verdict: Verdict, until: int | None = None) -> Iterator[AuditEntry]:
    """The entries in order; what is wrong with them is entered into the verdict."""
    known_key_seen = False
    for row in _rows(verdict, until):
        _check_place(verdict, row)
        _check_content(verdict, row)
        sealed = chain.is_sealed(row)
        # A key is forgotten once, and what came after it was sealed by a later one.
        if sealed is False or (sealed is None and known_key_seen):
            verdict.find(Fault.NOT_SEALED, row.pk)
        known_key_seen = known_key_seen or sealed is True
        verdict.unproven = 0 if sealed else verdict.unproven + 1
        verdict.entries += 1
        verdict.end = Link(row.pk, row.hash)
        yield row


def last_stub() -> dict[str, Any] | None:
    """What the newest `audit:trimmed` entry says of those that it stands for."""
    found = AuditEntry.objects.filter(event=Event.AUDIT_TRIMMED).first()
    details = found.details if found else {}
    is_ours = isinstance(details.get("last"), int) and "hash" in details
    return details if is_ours else None


def _check_place(verdict: Verdict, row: AuditEntry) -> None:
    before = verdict.end
    if before == BEGINNING and verdict.stub and row.pk > 1:
        if row.pk <= verdict.stub["last"]:
            return  # a trimming that was interrupted; the next one goes on
        before = Link(verdict.stub["last"], verdict.stub["hash"])
    if row.pk > before.sequence + 1:
        verdict.find(Fault.MISSING, before.sequence + 1, row.pk - 1)
    elif row.previous != before.hash:
        verdict.find(Fault.MISPLACED, row.pk)


def _check_content(verdict: Verdict, row: AuditEntry) -> None:
    try:
        digest = chain.digest_of(row, row.pk, row.previous)
    except (AttributeError, TypeError, ValueError):
        digest = ""
    if digest != row.hash:
        verdict.find(Fault.EDITED, row.pk)


def _rows(verdict: Verdict, until: int | None) -> Iterator[AuditEntry]:
    entries = AuditEntry.objects.order_by("pk")
    if until is not None:
        entries = entries.filter(pk__lte=until)
    last = 0
    while numbers := list(
        entries.filter(pk__gt=last).values_list("pk", flat=True)[:BATCH]
    ):
        last = numbers[-1]
        yield from _read(verdict, numbers)


def _read(verdict: Verdict, numbers: list[int]) -> Iterable[AuditEntry]:
    batch = AuditEntry.objects.filter(pk__range=(numbers[0], numbers[-1]))
    try:
        return list(batch.order_by("pk"))
    except (TypeError, ValueError):
        # Not even of the right form. One by one, to say which.
        return _read_each(verdict, numbers)


def _read_each(verdict: Verdict, numbers: list[int]) -> Iterator[AuditEntry]:
    for number in numbers:
        try:
            yield AuditEntry.objects.get(pk=number)
        except (TypeError, ValueError):
            verdict.find(Fault.UNREADABLE, number)
            kept = AuditEntry.objects.filter(pk=number)
            verdict.end = Link(number, kept.values_list("hash", flat=True)[0])
