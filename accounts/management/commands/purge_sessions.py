from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from accounts.models import User
from accounts.sessions import census, live
from accounts.sessions.errors import SessionStoreError

DONE, FAILED, WRONG_USAGE, STORE_UNREACHABLE, DONE_IN_PART = range(5)
SCHEMA = 1


class Command(BaseCommand):
    """With no arguments harmless: it only tidies up after what is dead already."""

    help = (
        "Removes what is dead from the session store. With --user, ends every session "
        "of that person. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 store "
        "unreachable, 4 done in part."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--user", metavar="NAME", help="user name, e-mail address or sub"
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
        parser.add_argument("--yes", action="store_true", help="do not ask")
        parser.add_argument("--json", action="store_true", help="one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["check"] or options["repair"]:
                self._check(options)
            elif options["user"] is None:
                self._purge(options)
            else:
                self._end_person(options)
        except SessionStoreError as error:
            raise CommandError(
                f"The session store cannot be used: {error.cause}.",
                returncode=STORE_UNREACHABLE,
            ) from error

    def _purge(self, options: dict[str, Any]) -> None:
        if not options["dry_run"]:
            self._settle()
        dead = live.count_dead() if options["dry_run"] else live.purge()
        found = live.count()
        verb = "would be removed" if options["dry_run"] else "removed"
        self._say(
            options,
            f"Dead entries {verb}: {dead}. Live: {_sessions(found)}.",
            purged=dead,
            live=found,
        )

    def _settle(self) -> None:
        try:
            live.settle()
            # Sign-ins that were begun and abandoned leave a row or two each.
            call_command("clearsocial", age=1)
        except DatabaseError:
            self.stderr.write("The database does not answer: nothing was settled.")

    def _check(self, options: dict[str, Any]) -> None:
        mend = options["repair"] and not options["dry_run"]
        found = census.repair() if mend else census.check()
        text = (
            f"Live: {_sessions(found.live)}. Hidden from the list: "
            f"{len(found.hidden)}. Dead ones in it: {len(found.haunting)}."
        )
        self._say(
            options,
            f"{text} Mended." if mend and found.strays else text,
            live=found.live,
            hidden=len(found.hidden),
            haunting=len(found.haunting),
        )
        if found.strays and not mend:
            raise CommandError("There are strays: add --repair.", returncode=FAILED)

    def _end_person(self, options: dict[str, Any]) -> None:
        people = list(User.objects.named(options["user"]))
        if not people:
            raise CommandError(
                f"Nobody is known as {options['user']!r}.", returncode=FAILED
            )
        named = ", ".join(f"{user.name} ({user.username})" for user in people)
        number = self._number_of_sessions(people, options)
        if options["dry_run"]:
            text = f"{_sessions(number)} of {named} would be ended."
            self._say(options, text, ended=number)
            return
        self._confirm(options, f"End {_sessions(number)} of {named}?")
        outcomes = [
            live.end_person(user, by="purge_sessions", reason=options["reason"])
            for user in people
        ]
        ended = sum(len(outcome.ended) for outcome in outcomes)
        text = f"{_sessions(ended)} of {named} ended."
        if not all(outcome.durable for outcome in outcomes):
            text += " The database does not answer: not yet durable."
        self._say(options, text, ended=ended)
        self._leave(outcomes)

    def _number_of_sessions(
        self, people: list[User], options: dict[str, Any]
    ) -> int | None:
        """None when the store is away: a kill is decided all the same."""
        try:
            return sum(len(live.of_person(user.issuer, user.sub)) for user in people)
        except SessionStoreError:
            if options["dry_run"]:
                raise
            return None

    def _confirm(self, options: dict[str, Any], question: str) -> None:
        if options["yes"]:
            return
        if not sys.stdin.isatty():
            raise CommandError(
                "Nobody is there to confirm: add --yes.", returncode=WRONG_USAGE
            )
        self.stderr.write(f"{question} [y/N] ", ending="")
        if input().strip().lower() not in {"y", "yes"}:
            raise CommandError("Nothing was ended.", returncode=FAILED)

    def _leave(self, outcomes: list[live.Outcome]) -> None:
        if any(outcome.pending for outcome in outcomes):
            raise CommandError(
                "The store does not answer: the kill is recorded and takes effect "
                "before the store answers its first question.",
                returncode=STORE_UNREACHABLE,
            )
        if not all(outcome.durable for outcome in outcomes):
            raise CommandError("The kill is not yet durable.", returncode=DONE_IN_PART)

    def _say(self, options: dict[str, Any], text: str, **numbers: int | None) -> None:
        if options["json"]:
            content = {"schema": SCHEMA, "dry_run": options["dry_run"], **numbers}
            self.stdout.write(json.dumps(content))
        else:
            self.stdout.write(text)


def _sessions(number: int | None) -> str:
    if number is None:
        return "an unknown number of sessions"
    return "1 session" if number == 1 else f"{number} sessions"
