from __future__ import annotations

import logging
from enum import StrEnum
from typing import Any

from accounts.models import AuditEntry

log = logging.getLogger("audit")


class Event(StrEnum):
    """What is recorded: `subject:action`."""

    SIGNED_IN = "session:signed-in"
    SIGN_IN_REFUSED = "sign-in:refused"
    SIGNED_OUT = "session:signed-out"
    REPLACED = "session:replaced"
    ENDED = "session:ended"
    KILLED = "session:killed"
    CUT_OFF = "everyone:cut-off"
    LOGGED_OUT_BY_PROVIDER = "session:logged-out-by-provider"
    RIGHTS_CHANGED = "rights:changed"
    PURGED = "store:purged"


def record(event: Event, **fields: Any) -> None:
    """Enters one event; fields are those of AuditEntry.

    Raises django.db.DatabaseError when it cannot be written; whoever must go on
    regardless says so at the call. The same event goes to the log, for a SIEM.
    """
    log.info("%s", event.value, extra=_loggable(fields))
    AuditEntry.objects.create(event=event.value, **fields)


def _loggable(fields: dict[str, Any]) -> dict[str, Any]:
    # Names and addresses of people stay in the table; a log line needs the reference.
    names = ("session_id", "reason", "details")
    return {name: fields[name] for name in names if fields.get(name)}
