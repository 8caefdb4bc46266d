from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from accounts import audit, suspension
from accounts.management.ending import BROAD, BY, Order, Result
from accounts.management.exit_codes import ExitCode
from accounts.management.interruption import finishing_the_batch
from accounts.management.output import log_lines
from accounts.management.progress import Progress
from accounts.management.selection_arguments import add_selection, read_selection
from accounts.management.suspending import ALIVE_AT_PROVIDER
from accounts.sessions import audit_copy, census, expiry, live
from accounts.sessions.errors import SessionStoreError, StoreNotFenced

SCHEMA = 1


class Command(BaseCommand):
    """With no arguments harmless: it only tidies up after what is dead already."""

    help = (
        "Removes what is dead from the session store. With filters, ends the live "
        "sessions that they mean. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 store "
        "unreachable, 4 done in part."
    )

    def create_parser(
        self, prog_name: str, subcommand: str, **kwargs: Any
    ) -> CommandParser:
        # Half a word must not pick `--everyone`.
        return super().create_parser(
            prog_name, subcommand, allow_abbrev=False, **kwargs
        )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_selection(parser)
        parser.add_argument(
            "--everyone", action="store_true", help="end every session that began"
        )
        parser.add_argument(
            "--check", action="store_true", help="compare index and values, both ways"
        )
        parser.add_argument(
            "--repair", action="store_true", help="mend what --check would find"
        )
        parser.add_argument("--reason", default="", help="kept in the audit")
        parser.add_argument(
            "--dry-run", action="store_true", help="show what would be done"
        )
        parser.add_argument(
            "--yes",
            action="store_true",
            help=f"end also everyone, or more than {BROAD} sessions, without asking",
        )
        parser.add_argument("--json", action="store_true", help="one JSON object")

    def execute(self, *args: Any, **options: Any) -> str | None:
        with log_lines(options["verbosity"]):
            return super().execute(*args, **options)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            chosen = read_selection(options)
            order = Order(chosen, options["everyone"], options["reason"])
            _refuse_contradictions(order, options)
            if options["check"] or options["repair"]:
                self._check(options)
            elif order.is_everyone or chosen.is_narrow:
                self._end(order, options)
            else:
                self._purge(options)
        except SessionStoreError as error:
            # What is recorded and pending does not come here.
            raise CommandError(_why(error), returncode=ExitCode.FAILED) from error
        finally:
            audit_copy.settle_if_any()

    def _purge(self, options: dict[str, Any]) -> None:
        if options["dry_run"]:
            dead, found = live.count_dead(), live.count()
        else:
            self._settle()
            dead = live.purge() + live.clear_up()
            found = live.count()
            self._enter_expired()
            if dead:
                audit.record(audit.Event.PURGED, actor=BY, details={"removed": dead})
        verb = "would be removed" if options["dry_run"] else "removed"
        text = f"Dead entries {verb}: {dead}. Live: {_sessions(found)}."
        self._say(options, text, purged=dead, live=found)

    def _settle(self) -> None:
        try:
            live.settle()
            suspension.note_over()
            # What abandoned sign-ins left before the browser kept them itself.
            call_command("clearsocial", age=1)
        except DatabaseError:
            self.stderr.write("The database does not answer: nothing was settled.")

    def _enter_expired(self) -> None:
        try:
            expiry.enter_expired()
        except DatabaseError:
            self.stderr.write("The database does not answer: no expiry was recorded.")

    def _check(self, options: dict[str, Any]) -> None:
        mend = options["repair"] and not options["dry_run"]
        found = census.repair() if mend else census.check()
        text = (
            f"Live: {_sessions(found.live)}. Hidden from the list: "
            f"{len(found.hidden)}. Dead ones in it: {len(found.haunting)}."
        )
        numbers = {"hidden": len(found.hidden), "haunting": len(found.haunting)}
        if mend and found.strays:
            audit.record(audit.Event.REPAIRED, actor=BY, details=numbers)
            text = f"{text} Mended."
        self._say(options, text, live=found.live, **numbers)
        if found.strays and not mend:
            raise CommandError(
                "There are strays: add --repair.", returncode=ExitCode.FAILED
            )

    def _end(self, order: Order, options: dict[str, Any]) -> None:
        order, matched = self._counted(order, options)
        of = f" of {', '.join(order.chosen.people)}" if order.chosen.people else ""
        if options["dry_run"]:
            text = f"{_sessions(matched)}{of} would be ended."
            self._say(options, text, matched=matched, ended=matched)
            return
        if order.is_broad(matched):
            self._confirm(options, _question(order, matched, of))
        with (
            finishing_the_batch() as is_interrupted,
            Progress(self.stderr, "ended", matched) as progress,
        ):
            result = order.carry_out(progress.reach, is_interrupted)
        more = None if result.outcome.incomplete else self._more(order)
        self._tell(result, of, matched, more, is_interrupted(), options)

    def _counted(
        self, order: Order, options: dict[str, Any]
    ) -> tuple[Order, int | None]:
        """None when it cannot be told: a kill is decided all the same."""
        try:
            counted = order.counted()
            return counted, counted.matched()
        except SessionStoreError as error:
            # Without SQL the store cannot be believed, but it can be told.
            is_told = isinstance(error, StoreNotFenced) or order.is_recordable
            if options["dry_run"] or not is_told:
                raise
            return order, None

    def _more(self, order: Order) -> int | None:
        """How many match now that were not counted, for a person to look at."""
        try:
            more = order.more()
        except SessionStoreError:
            return None
        if more:
            matches = "matches now and was" if more == 1 else "match now and were"
            text = f"{more} more {matches} not ended."
            self.stderr.write(text)
        return more

    def _confirm(self, options: dict[str, Any], question: str) -> None:
        if options["yes"]:
            return
        if not sys.stdin.isatty():
            raise CommandError(
                f"{question} Nobody is there to confirm: add --yes.",
                returncode=ExitCode.WRONG_USAGE,
            )
        self.stderr.write(f"{question} [y/N] ", ending="")
        self.stderr.flush()
        if input().strip().lower() not in {"y", "yes"}:
            raise CommandError("Nothing was ended.", returncode=ExitCode.FAILED)

    def _tell(
        self,
        result: Result,
        of: str,
        matched: int | None,
        more: int | None,
        is_interrupted: bool,
        options: dict[str, Any],
    ) -> None:
        outcome = result.outcome
        self._say(
            options,
            f"{_sessions(result.ended)}{of} ended.",
            matched=matched,
            ended=result.ended,
            more=more,
            already_gone=len(outcome.already_gone),
            pending=outcome.pending,
            durable=outcome.durable,
            acknowledged=outcome.acknowledged,
            complete=not (outcome.incomplete or outcome.pending),
            interrupted=is_interrupted,
            note=ALIVE_AT_PROVIDER,
        )
        if not options["json"]:
            self.stdout.write(ALIVE_AT_PROVIDER)
        if result.exit_code:
            raise CommandError(_what_is_left(result), returncode=result.exit_code)

    def _say(self, options: dict[str, Any], text: str, **facts: Any) -> None:
        if options["json"]:
            content = {"schema": SCHEMA, "dry_run": options["dry_run"], **facts}
            self.stdout.write(json.dumps(content))
        else:
            self.stdout.write(text)


def _refuse_contradictions(order: Order, options: dict[str, Any]) -> None:
    ends = order.is_everyone or order.chosen.is_narrow
    problem = ""
    if order.is_everyone and order.chosen.is_narrow:
        problem = "--everyone means everyone: give it no filter."
    elif ends and (options["check"] or options["repair"]):
        problem = "--check and --repair look at everything: give them no filter."
    elif options["reason"] and not ends:
        problem = "A reason for what? Without a filter nobody is ended."
    if problem:
        raise CommandError(problem, returncode=ExitCode.WRONG_USAGE)


def _what_is_left(result: Result) -> str:
    outcome = result.outcome
    if outcome.pending:
        return (
            "The session store cannot be used from here: the revocation is recorded, "
            "and takes effect within 2 seconds of a site process reaching both the "
            "database and the store."
        )
    if outcome.incomplete:
        return "Stopped before all had their turn: run it again for the rest."
    return "The database does not answer: the kill is done, but not yet durable."


def _why(error: SessionStoreError) -> str:
    if isinstance(error, StoreNotFenced):
        return (
            "The database does not answer, and without its list of kills the session "
            "store cannot be believed. Nothing was done."
        )
    return f"The session store cannot be used: {error.cause}. Nothing was done."


def _question(order: Order, matched: int | None, of: str) -> str:
    """Of filters the very sessions that were counted, else all there are by then."""
    if order.ids is not None:
        return f"End these {_sessions(matched)}?"
    return f"End every session{of}, {_sessions(matched)} now?"


def _sessions(number: int | None) -> str:
    if number is None:
        return "an unknown number of sessions"
    return "1 session" if number == 1 else f"{number} sessions"
