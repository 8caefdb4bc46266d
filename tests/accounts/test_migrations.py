from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

ROOT = Path(__file__).parents[2]
PERSON = (
    "INSERT INTO accounts_user (identity, issuer, sub, username, name, email, "
    "department, is_active, is_staff, is_superuser, date_joined) VALUES "
    "(:sub, 'https://idp.example', :sub, :sub, '', '', '', :active, 0, 0, '2026-01-01')"
)


def migrate(database: Path, *target: str) -> None:
    environment = os.environ | {"DATABASE_URL": f"sqlite:///{database}"}
    environment["DJANGO_SETTINGS_MODULE"] = "backoffice.settings"
    command = [sys.executable, "manage.py", "migrate", "--verbosity", "0", *target]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)


def test_account_that_was_not_active_is_suspended_and_back(tmp_path: Path) -> None:
    database = tmp_path / "db.sqlite3"
    migrate(database, "accounts", "0007")
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        for sub, active in (("in", True), ("out", False)):
            connection.execute(PERSON, {"sub": sub, "active": active})
        migrate(database)
        rows = connection.execute("SELECT issuer, sub, by FROM accounts_suspension")
        assert rows.fetchall() == [("https://idp.example", "out", "migrate")]
        migrate(database, "accounts", "0007")
        found = connection.execute("SELECT sub, is_active FROM accounts_user")
        assert dict(found.fetchall()) == {"in": True, "out": False}
