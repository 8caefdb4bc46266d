from __future__ import annotations

import json
from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from django.utils import timezone

from accounts.audit.retention import ChainBroken, Span, span_before, trim
from accounts.management.exit_codes import ExitCode

SCHEMA = 1


class Command(BaseCommand):
    """Harmless unless AUDIT_RETENTION_DAYS says that entries shall go."""

    help = (
        "Removes audit entries older than AUDIT_RETENTION_DAYS and leaves one that "
        "stands for them. Exit codes: 0 done, 1 failed, 2 wrong usage."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--dry-run", action="store_true", help="show what would be removed"
        )
        parser.add_argument("--json", action="store_true", help="one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        days = settings.AUDIT_RETENTION_DAYS
        if days is None:
            self._say(options, Span(), "AUDIT_RETENTION_DAYS is not set: all is kept.")
            return
        moment = timezone.now() - timedelta(days=days)
        try:
            if options["dry_run"]:
                span = span_before(moment)
            else:
                span = trim(moment, by="trim_audit")
        except ChainBroken as error:
            raise CommandError(
                f"Nothing was removed: {error}. See verify_audit.",
                returncode=ExitCode.FAILED,
            ) from error
        except DatabaseError as error:
            raise CommandError(
                f"The database cannot be used: {type(error).__name__}.",
                returncode=ExitCode.FAILED,
            ) from error
        verb = "would be removed" if options["dry_run"] else "removed"
        self._say(options, span, f"Entries {verb}: {span.count}.")

    def _say(self, options: dict[str, Any], span: Span, text: str) -> None:
        if options["json"]:
            content = {
                "schema": SCHEMA,
                "dry_run": options["dry_run"],
                "removed": span.count,
                "first": span.first,
                "last": span.last,
            }
            self.stdout.write(json.dumps(content))
        else:
            self.stdout.write(text)
