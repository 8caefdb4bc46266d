from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from django.utils import timezone

from accounts.management.exit_codes import ExitCode
from accounts.management.moments import later_moment
from accounts.management.suspending import (
    SCHEMA,
    STILL_AT_PROVIDER,
    add_person,
    failed,
    issuer_of,
    known,
    reason,
    the_one,
    usage,
)
from accounts.sessions import audit_copy
from accounts.sessions.errors import SessionStoreError
from accounts.sessions.live import Outcome
from accounts.sso import suspending
from accounts.suspension import Person

BY = "suspend_user"


class Command(BaseCommand):
    """Asks nothing when it is given a reason: it is for the middle of an incident."""

    help = (
        "Suspends one person: ends all their sessions and refuses every sign-in until "
        "restore_user, or until a time. Exit codes: 0 suspended and ended everywhere, "
        "1 nothing done, 2 wrong usage, 3 suspended, and the sessions end when the "
        "store can be reached, 4 done in part."
    )

    def create_parser(
        self, prog_name: str, subcommand: str, **kwargs: Any
    ) -> CommandParser:
        return super().create_parser(
            prog_name, subcommand, allow_abbrev=False, **kwargs
        )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_person(parser)
        parser.add_argument(
            "--until",
            type=later_moment,
            metavar="TIME",
            help="2026-12-24T09:30, or a span from now: 8h, 2w; without it, for good",
        )
        parser.add_argument(
            "--as",
            dest="kind",
            choices=("sub", "email"),
            help="for somebody who has never signed in: what NAME is at the provider",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            person = _person(options)
            why = reason(options)
            outcome = suspending.suspend(
                person, by=BY, reason=why, until=options["until"]
            )
        except SessionStoreError as error:
            raise failed(
                "Neither the database nor the session store can be used "
                f"({error.cause}). Nothing was done."
            ) from error
        except DatabaseError as error:
            raise failed(
                f"The database does not answer ({type(error).__name__}). "
                "Nothing was done."
            ) from error
        finally:
            audit_copy.settle_if_any()
        self._tell(person, outcome, options)

    def _tell(self, person: Person, outcome: Outcome, options: dict[str, Any]) -> None:
        ended, until = len(outcome.ended), options["until"]
        if options["json"]:
            content = {
                "schema": SCHEMA,
                "issuer": person.issuer,
                "sub": person.sub,
                "email": person.email,
                "suspended": outcome.durable,
                "until": until.isoformat() if until else None,
                "ended": ended,
                "pending": outcome.pending,
                "complete": not (outcome.incomplete or outcome.pending),
                "note": STILL_AT_PROVIDER,
            }
            self.stdout.write(json.dumps(content))
        elif outcome.durable:
            to = (
                f" until {timezone.localtime(until):%Y-%m-%d %H:%M %Z}" if until else ""
            )
            self.stdout.write(f"{person.label} is suspended{to}. Ended: {ended}.")
            self.stdout.write(STILL_AT_PROVIDER)
        if problem := _problem(outcome):
            raise problem


def _person(options: dict[str, Any]) -> Person:
    name = options["name"]
    found = known(name, options["provider"])
    if found:
        return the_one(found, name)
    match options["kind"]:
        case "sub":
            return Person(issuer_of(options["provider"]), sub=name)
        case "email" if "@" not in name:
            raise usage(f"{name!r} is no e-mail address.")
        case "email":
            return Person(issuer_of(options["provider"]), email=name)
    raise failed(
        f"Nobody is known as {name!r}. To suspend somebody who has never signed in, "
        "say what this is at the provider: --as sub or --as email."
    )


def _problem(outcome: Outcome) -> CommandError | None:
    if not outcome.durable:
        return CommandError(
            f"The database does not answer: {len(outcome.ended)} sessions were ended, "
            "but the person is NOT suspended. Run it again when the database is back.",
            returncode=ExitCode.DONE_IN_PART,
        )
    if outcome.pending:
        return CommandError(
            "The session store cannot be used from here: the suspension stands, and "
            "the sessions end within 2 seconds of a site process reaching both the "
            "database and the store.",
            returncode=ExitCode.PENDING,
        )
    if outcome.incomplete:
        return CommandError(
            "A session of this person is still live, or could not be looked for: see "
            "list_sessions --user.",
            returncode=ExitCode.DONE_IN_PART,
        )
    return None
