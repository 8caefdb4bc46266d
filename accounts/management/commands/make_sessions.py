from __future__ import annotations

import json
import logging
from argparse import ArgumentParser, ArgumentTypeError
from itertools import islice
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from accounts import audit
from accounts.management import crowd
from accounts.management.exit_codes import ExitCode
from accounts.management.progress import Progress
from accounts.sessions import live
from accounts.sessions.errors import SessionStoreError

SCHEMA = 1
AT_MOST = 2_000_000


class Command(BaseCommand):
    """Nobody has the keys of what it makes. `purge_sessions` ends it again."""

    help = (
        "Fills the store with made-up live sessions, to try the security desk at "
        "size. Accounts and audit entries of the made-up people stay. Exit codes: 0 "
        "done, 1 failed, 2 wrong usage, 3 store unreachable."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--sessions", type=_number, default=100_000)
        parser.add_argument("--staff", type=_number, default=5_000)
        parser.add_argument(
            "--add", action="store_true", help="also where there are sessions already"
        )
        parser.add_argument(
            "--yes", action="store_true", help="also where DEBUG is off"
        )
        parser.add_argument("--json", action="store_true", help="one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        if not (settings.DEBUG or options["yes"]):
            raise CommandError(
                "This looks like a site in production: add --yes to fill it with "
                "made-up sessions, accounts and audit entries.",
                returncode=ExitCode.WRONG_USAGE,
            )
        try:
            if live.count() and not options["add"]:
                raise CommandError(
                    "There are live sessions: add --add to make more beside them.",
                    returncode=ExitCode.FAILED,
                )
            self._make(options["sessions"], options["staff"])
            found = live.count()
        except SessionStoreError as error:
            raise CommandError(
                f"The session store cannot be used: {error.cause}.",
                returncode=ExitCode.STORE_UNREACHABLE,
            ) from error
        content = {"schema": SCHEMA, "made": options["sessions"], "live": found}
        text = f"Made {options['sessions']} sessions. Live: {found}."
        self.stdout.write(json.dumps(content) if options["json"] else text)

    def _make(self, number: int, staff: int) -> None:
        # A hundred thousand lines about people who do not exist help nobody.
        logging.getLogger("audit").setLevel(logging.WARNING)
        crowd.enter_people(staff)
        made = crowd.sessions(number, staff)
        with Progress(self.stderr, "sessions", number) as progress:
            while batch := list(islice(made, crowd.AT_ONCE)):
                crowd.store(batch)
                audit.record_all([each.sign_in for each in batch])
                progress.advance(len(batch))


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= AT_MOST):
        raise ArgumentTypeError(f"{text!r} is no number from 1 to {AT_MOST}")
    return int(text)
