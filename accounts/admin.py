from __future__ import annotations

# Django looks for registrations here; each page of the desk makes its own.
from accounts.desk import audit_entries, live_sessions, people, suspensions

__all__ = ["audit_entries", "live_sessions", "people", "suspensions"]
