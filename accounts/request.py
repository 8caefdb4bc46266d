from __future__ import annotations

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest

from accounts.models import User
from accounts.sessions.store import SessionStore


class StaffRequest(HttpRequest):
    """For annotations: what a view gets once the middleware has done its work."""

    session: SessionStore
    user: User | AnonymousUser
    request_id: str
