"""SQL itself refuses to change or remove an entry, whoever asks.

Made after every `migrate`: where SQLite makes a table anew, its triggers are gone. Who
owns the database can drop them; `verify_audit` says when they are missing. Entries may
go only once an `audit:trimmed` entry stands for them (retention.py).
"""

from __future__ import annotations

from typing import Any

from django.db import connection, connections

from accounts.audit_models import AuditEntry

# The name stands in the statements as it is, where everybody can read it.
_TABLE = AuditEntry._meta.db_table
NAMES = frozenset({"audit_no_update", "audit_no_delete", "audit_no_replace"})

# INSERT OR REPLACE fires no trigger for the row that it removes, hence the third one.
_SQLITE = [
    """CREATE TRIGGER IF NOT EXISTS audit_no_update BEFORE UPDATE ON accounts_auditentry
    BEGIN SELECT RAISE(ABORT, 'audit entries are never changed'); END""",
    """CREATE TRIGGER IF NOT EXISTS audit_no_delete BEFORE DELETE ON accounts_auditentry
    WHEN NOT EXISTS (
      SELECT 1 FROM accounts_auditentry WHERE event = 'audit:trimmed'
      AND id > OLD.id AND json_extract(details, '$.last') >= OLD.id)
    BEGIN SELECT RAISE(ABORT, 'audit entries are never changed'); END""",
    """CREATE TRIGGER IF NOT EXISTS audit_no_replace
    BEFORE INSERT ON accounts_auditentry
    WHEN NEW.id <= (SELECT max(id) FROM accounts_auditentry)
    BEGIN SELECT RAISE(ABORT, 'audit entries are never changed'); END""",
]
_POSTGRES = [
    """CREATE OR REPLACE FUNCTION audit_refuse() RETURNS trigger AS $$
    BEGIN
      IF TG_OP = 'DELETE' THEN
        IF EXISTS (
          SELECT 1 FROM accounts_auditentry WHERE event = 'audit:trimmed'
          AND id > OLD.id AND (details->>'last')::bigint >= OLD.id
        ) THEN RETURN OLD; END IF;
      END IF;
      RAISE EXCEPTION 'audit entries are never changed'
      USING ERRCODE = 'integrity_constraint_violation';
    END $$ LANGUAGE plpgsql""",
    """CREATE OR REPLACE TRIGGER audit_no_update BEFORE UPDATE ON accounts_auditentry
    FOR EACH ROW EXECUTE FUNCTION audit_refuse()""",
    """CREATE OR REPLACE TRIGGER audit_no_delete BEFORE DELETE ON accounts_auditentry
    FOR EACH ROW EXECUTE FUNCTION audit_refuse()""",
    """CREATE OR REPLACE TRIGGER audit_no_replace BEFORE TRUNCATE ON accounts_auditentry
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()""",
]
_STATEMENTS = {"sqlite": _SQLITE, "postgresql": _POSTGRES}
_LIST = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = %s",
    "postgresql": "SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass "
    "AND NOT tgisinternal AND tgenabled = 'O'",
}


def make(sender: Any = None, *, using: str = "default", **kwargs: Any) -> None:
    """After `migrate`: the triggers stand, however the table came about."""
    database = connections[using]
    if _TABLE not in database.introspection.table_names():
        return
    with database.cursor() as cursor:
        for statement in _STATEMENTS.get(database.vendor, []):
            cursor.execute(statement)


def missing() -> list[str]:
    """The names of the triggers that are not there."""
    with connection.cursor() as cursor:
        cursor.execute(_LIST[connection.vendor], [_TABLE])
        found = {name for (name,) in cursor.fetchall()}
    return sorted(NAMES - found)
