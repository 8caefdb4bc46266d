from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from accounts import audit
from accounts.audit.export import Extract, Form, lines
from accounts.management.exit_codes import ExitCode
from accounts.management.moments import moment
from accounts.management.output import reader_may_leave


class Command(BaseCommand):
    """Streams, so that it takes as much memory for ten entries as for ten million."""

    help = (
        "Writes audit entries to standard output, the oldest first. Exit codes: 0 "
        "done, 1 failed, 2 wrong usage."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--format",
            choices=[form.value for form in Form],
            default=Form.JSON_LINES,
            help="JSON Lines (the default) or CSV",
        )
        parser.add_argument(
            "--since", type=moment, metavar="TIME", help="2026-11-24T09:30 or '7d ago'"
        )
        parser.add_argument("--until", type=moment, metavar="TIME", help="before this")
        parser.add_argument(
            "--event",
            action="append",
            default=[],
            choices=sorted(audit.Event),
            metavar="EVENT",
            help="as in session:killed; may be given several times",
        )
        parser.add_argument("--subject", default="", metavar="NAME", help="whom")
        parser.add_argument("--actor", default="", metavar="NAME", help="by whom")
        parser.add_argument("--session", default="", metavar="ID", help="a session id")

    def handle(self, *args: Any, **options: Any) -> None:
        extract = Extract(
            since=options["since"],
            until=options["until"],
            events=tuple(options["event"]),
            subject=options["subject"],
            actor=options["actor"],
            session_id=options["session"],
        )
        count = 0
        try:
            with reader_may_leave(self.stdout):
                for line in lines(extract.entries(), Form(options["format"])):
                    self.stdout.write(line, ending="")
                    count += 1
        except DatabaseError as error:
            raise CommandError(
                f"The database cannot be used: {type(error).__name__}.",
                returncode=ExitCode.FAILED,
            ) from error
        finally:
            _record(options, count)


def _record(options: dict[str, Any], count: int) -> None:
    """That people's data left the site is worth an entry."""
    names = ("format", "since", "until", "event", "subject", "actor", "session")
    said = {name: options[name] for name in names if options[name]}
    audit.record(
        audit.Event.AUDIT_EXPORTED,
        actor="export_audit",
        details={"lines": count, **said},
    )
