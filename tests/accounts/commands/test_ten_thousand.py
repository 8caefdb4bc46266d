"""Ten thousand are ended by a filter while people sign in and go on working."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.contrib.sessions.backends.base import UpdateError

from accounts.management import crowd
from accounts.sessions import census, live
from accounts.sessions.live_session import LiveSession
from accounts.sessions.store import SessionStore
from backoffice.demo.store import EmbeddedStore
from tests.accounts.commands.test_ending_selected import begin
from tests.accounts.sessions.conftest import again, is_live

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

ROOT = Path(__file__).parents[3]
SESSIONS, STAFF = 11_000, 500
# Everybody with an IPv4 address: some nineteen of twenty.
FILTER = ("--ip", "0.0.0.0/0")


@dataclass(frozen=True)
class Site:
    """The site's commands, each a process, on a database of its own."""

    database: Path
    store: str
    # Who signed in while a command ran.
    late: list[SessionStore] = field(default_factory=list)

    def manage(self, *arguments: str) -> tuple[int, str]:
        env = os.environ | {
            "DATABASE_URL": f"sqlite:///{self.database}",
            "REDIS_URL": self.store,
            "DJANGO_SETTINGS_MODULE": "backoffice.settings",
        }
        command = [sys.executable, "manage.py", *arguments]
        out = self.database.with_suffix(".out")
        with out.open("w") as told:
            process = subprocess.Popen(
                command, cwd=ROOT, env=env, stdout=told, stderr=subprocess.DEVNULL
            )
            self.work_until_it_ends(process)
        return process.returncode, out.read_text()

    def work_until_it_ends(self, process: subprocess.Popen[Any]) -> None:
        """Sign-ins, and writes to sessions that may be killed in the same moment."""
        while process.poll() is None:
            number = len(self.late)
            self.late.append(begin(f"late-{number}", address="192.0.2.1"))
            session = again(self.late[number // 2])
            if session.record is not None:
                session["n"] = number
                with suppress(UpdateError):
                    session.save()
            time.sleep(0.01)

    def recorded(self) -> set[str]:
        """The sessions that the audit says were killed."""
        with closing(sqlite3.connect(self.database)) as connection:
            rows = connection.execute(
                "SELECT session_id FROM accounts_auditentry "
                "WHERE event = 'session:killed'"
            ).fetchall()
        assert len(rows) == len(set(rows))
        return {identifier for (identifier,) in rows}


def everyone() -> dict[str, LiveSession]:
    found: dict[str, LiveSession] = {}
    for offset in range(0, live.count(), 1000):
        page = live.select(live.Selection(), offset=offset, size=1000).sessions
        found |= {session.id: session for session in page}
    return found


def test_exactly_those_are_ended_all_recorded_none_revived(
    tmp_path: Path, store_server: EmbeddedStore
) -> None:
    site = Site(tmp_path / "ten-thousand.sqlite3", store_server.url)
    assert site.manage("migrate", "-v0")[0] == 0
    crowd.store(list(crowd.sessions(SESSIONS, STAFF)))
    before = everyone()
    meant = {i for i, session in before.items() if ":" not in session.address}
    assert len(meant) > 10_000

    code, out = site.manage("purge_sessions", *FILTER, "--yes", "--json")
    said = json.loads(out)
    assert (code, said["complete"]) == (0, True)

    after, recorded = everyone(), site.recorded()
    assert not meant & after.keys()
    assert before.keys() - meant <= after.keys()
    # Whoever signed in meanwhile lives or was ended, and if ended, then on record.
    late = {str(session.session_id): session for session in site.late}
    assert {i for i, s in late.items() if not is_live(s)} == recorded & late.keys()
    assert recorded == (before.keys() | late.keys()) - after.keys()
    assert said["ended"] == len(recorded)
    assert census.check().strays == 0
    assert site.manage("verify_audit")[0] == 0
