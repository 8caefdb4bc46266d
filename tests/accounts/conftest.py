from __future__ import annotations

from tests.accounts.sessions.conftest import admin, user

__all__ = ["admin", "user"]
