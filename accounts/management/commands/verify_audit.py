from __future__ import annotations

import json
import re
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from accounts.audit.chain import Link
from accounts.audit.verification import Verdict, verify
from accounts.management.exit_codes import ExitCode
from accounts.sessions import audit_copy
from accounts.sessions.errors import SessionStoreError

SCHEMA = 1


class Command(BaseCommand):
    """Reads everything, changes nothing, may run beside the site."""

    help = (
        "Checks the chain of audit entries and names every entry that was edited, "
        "removed or moved. Exit codes: 0 it holds, 1 it does not, 2 wrong usage, "
        "3 the store or the database could not be asked."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--head",
            type=_hash,
            action="append",
            default=[],
            metavar="HASH",
            help="a hash noted elsewhere (a log line, an export) that must be there",
        )
        parser.add_argument("--json", action="store_true", help="one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        anchor, held, trouble = _from_the_store()
        try:
            verdict = verify(anchor, options["head"])
        except DatabaseError as error:
            raise CommandError(
                f"The database cannot be used: {type(error).__name__}.",
                returncode=ExitCode.STORE_UNREACHABLE,
            ) from error
        say = self._say_json if options["json"] else self._say
        say(verdict, anchor, held)
        if not verdict.holds:
            raise CommandError("The chain does not hold.", returncode=ExitCode.FAILED)
        if trouble:
            raise CommandError(
                f"The session store cannot be used: {trouble}. Whether entries are "
                "missing at the end was not checked.",
                returncode=ExitCode.STORE_UNREACHABLE,
            )

    def _say(self, verdict: Verdict, anchor: Link | None, held: int | None) -> None:
        for finding in verdict.findings:
            self.stdout.write(str(finding))
        if verdict.faults > len(verdict.findings):
            self.stdout.write(f"{verdict.faults} faults in all.")
        for head in verdict.unknown_heads:
            self.stdout.write(f"No entry has the hash {head}.")
        self.stdout.write(f"Entries: {verdict.entries}. {_end(verdict)}")
        for note in _notes(verdict, anchor, held):
            self.stderr.write(note)

    def _say_json(
        self, verdict: Verdict, anchor: Link | None, held: int | None
    ) -> None:
        content = {
            "schema": SCHEMA,
            "holds": verdict.holds,
            "entries": verdict.entries,
            "faults": verdict.faults,
            "findings": [
                {"fault": each.fault, "first": each.first, "last": each.last}
                for each in verdict.findings
            ],
            "unknown_heads": verdict.unknown_heads,
            "end": verdict.end._asdict(),
            "anchor": anchor._asdict() if anchor else None,
            "trimmed": verdict.stub,
            "unproven": verdict.unproven,
            "held": held,
            "missing_triggers": verdict.missing_triggers,
        }
        self.stdout.write(json.dumps(content))


def _hash(text: str) -> str:
    if not re.fullmatch("[0-9a-f]{64}", text):
        raise ArgumentTypeError(f"{text!r} is no hash: it has 64 hexadecimal digits")
    return text


def _from_the_store() -> tuple[Link | None, int | None, str]:
    try:
        return audit_copy.anchored(), audit_copy.count_held(), ""
    except SessionStoreError as error:
        return None, None, error.cause


def _end(verdict: Verdict) -> str:
    return f"The last is {verdict.end.sequence}, {verdict.end.hash}."


def _notes(verdict: Verdict, anchor: Link | None, held: int | None) -> list[str]:
    notes = []
    if verdict.stub:
        notes.append(f"Trimmed up to entry {verdict.stub['last']}.")
    if verdict.unproven:
        notes.append(
            f"The last {verdict.unproven} entries were sealed by a key that is not in "
            "SECRET_KEY or SECRET_KEY_FALLBACKS: only their order was checked."
        )
    if verdict.missing_triggers:
        names = ", ".join(verdict.missing_triggers)
        notes.append(f"Triggers are missing, `migrate` makes them: {names}.")
    if held is not None and anchor is None and verdict.entries:
        notes.append("The store does not know where the chain ended; see --head.")
    if held:
        notes.append(f"{held} entries wait in the store until SQL takes them.")
    return notes
