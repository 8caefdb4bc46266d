from __future__ import annotations

import json
import shutil
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator, Sequence
from typing import IO, Any, cast

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from rich.console import Console
from rich.table import Table
from rich.text import Text

from accounts.management.exit_codes import ExitCode
from accounts.management.output import log_lines, reader_may_leave
from accounts.management.selection_arguments import add_selection, read_selection
from accounts.sessions import audit_copy, live
from accounts.sessions.errors import SessionStoreError
from accounts.sessions.live_session import LiveSession
from accounts.sessions.selection import Selection

SCHEMA = 1
AT_ONCE = 500
ORDERS = {
    "use": live.Order.LAST_USE,
    "start": live.Order.START,
    "end": live.Order.END,
}
COLUMNS = (
    "session",
    "user",
    "name",
    "department",
    "address",
    "device",
    "provider",
    "began",
    "last used",
    "ends",
)


class Command(BaseCommand):
    """Reads only, and shows nothing that would work as a cookie."""

    help = (
        "Lists live sessions, with the same filters as purge_sessions: a table for a "
        "terminal, tab-separated lines for a pipe. Exit codes: 0 done, 1 failed, 2 "
        "wrong usage, 3 store unreachable."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_selection(parser)
        parser.add_argument(
            "--order",
            choices=sorted(ORDERS),
            default="use",
            help="by last use (the default), start or end; the latest first",
        )
        parser.add_argument("--reverse", action="store_true", help="the earliest first")
        parser.add_argument(
            "--limit",
            type=_limit,
            default=100,
            help="how many at most (100); 0 for all",
        )
        parser.add_argument("--json", action="store_true", help="one JSON object")

    def execute(self, *args: Any, **options: Any) -> str | None:
        with log_lines(options["verbosity"]):
            return super().execute(*args, **options)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            selection = read_selection(options).selection
            total = live.select(selection, size=1).total
            found = list(_found(selection, total, options))
        except SessionStoreError as error:
            raise CommandError(
                f"The session store cannot be used: {error.cause}.",
                returncode=ExitCode.STORE_UNREACHABLE,
            ) from error
        # To ask the store may have carried out what had to wait for it.
        audit_copy.settle_if_any()
        with reader_may_leave(self.stdout):
            self._show(found, total, options["json"])

    def _show(self, found: Sequence[LiveSession], total: int, is_json: bool) -> None:
        if is_json:
            sessions = [_facts(session) for session in found]
            content = {"schema": SCHEMA, "total": total, "sessions": sessions}
            self.stdout.write(json.dumps(content, ensure_ascii=False))
            return
        rows = [_row(session) for session in found]
        if self.stdout.isatty() and rows:
            self._draw(rows)
        elif not self.stdout.isatty():
            for row in (COLUMNS, *rows):
                self.stdout.write("\t".join(row))
        if not total:
            self.stderr.write("0 live sessions.")
        elif len(found) < total:
            self.stderr.write(f"{len(found)} of {total} live sessions: see --limit.")

    def _draw(self, rows: Sequence[Sequence[str]]) -> None:
        width = max(80, shutil.get_terminal_size().columns)
        table = Table(*COLUMNS, box=None, pad_edge=False)
        for row in rows:
            # As text, so that no name is taken for a colour.
            table.add_row(*(Text(cell, overflow="fold") for cell in row))
        Console(file=cast("IO[str]", self.stdout), width=width).print(table)


def _found(
    selection: Selection, total: int, options: dict[str, Any]
) -> Iterator[LiveSession]:
    wanted = min(total, options["limit"] or total)
    order, descending = ORDERS[options["order"]], not options["reverse"]
    for offset in range(0, wanted, AT_ONCE):
        size = min(AT_ONCE, wanted - offset)
        yield from live.select(selection, order, offset, size, descending).sessions


def _facts(session: LiveSession) -> dict[str, Any]:
    person = session.profile
    return {
        "session": session.id,
        "issuer": person.issuer,
        "sub": person.sub,
        "user": person.username,
        "name": person.name,
        "email": person.email,
        "department": person.department,
        "groups": list(person.groups),
        "provider": session.provider,
        "address": session.address,
        "device": session.device,
        "agent": session.agent,
        "began": session.began.isoformat(),
        "last_used": session.last_used.isoformat(),
        "idle_ends": session.idle_ends.isoformat(),
        "ends": session.ends.isoformat(),
    }


def _row(session: LiveSession) -> list[str]:
    person = session.profile
    times = (session.began, session.last_used, min(session.idle_ends, session.ends))
    return [
        session.id,
        *map(_printable, (person.username, person.name, person.department)),
        session.address,
        _printable(session.device),
        _printable(session.provider),
        *(f"{timezone.localtime(moment):%Y-%m-%d %H:%M:%S}" for moment in times),
    ]


def _printable(text: str) -> str:
    """Nothing that moves the cursor or makes a column (CWE-150)."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ArgumentTypeError(f"{text!r} is no number")
    return int(text)
