"""What people get while SQL is away: pages are 503, and ends still happen.

An outage of SQL is no reason to keep a session alive that its person wants ended: what
lives in the store is ended there and recorded when SQL is back. Views that do so are
marked with `works_without_database`; who asks is then known from the session alone,
which the store vouches for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar, cast

from django.contrib.auth import SESSION_KEY as USER_SESSION_KEY
from django.db import DatabaseError, InterfaceError, InternalError, OperationalError
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from accounts.models import User
from accounts.profile import StaffProfile
from accounts.request import StaffRequest
from accounts.sessions.middleware import unavailable

log = logging.getLogger(__name__)

View = TypeVar("View", bound=Callable[..., HttpResponseBase])
# PostgreSQL's read_only_sql_transaction: a standby that is not promoted yet.
READ_ONLY = "25006"


def works_without_database(view: View) -> View:
    """Marks a view that does its work in the store where SQL is away."""
    view.works_without_database = True  # type: ignore[attr-defined]
    return view


def is_away(error: BaseException) -> bool:
    """Whether this says that SQL cannot be used now, not that a statement is wrong."""
    if isinstance(error, InternalError):
        return getattr(error.__cause__, "sqlstate", "") == READ_ONLY
    return isinstance(error, (OperationalError, InterfaceError))


class DatabaseMiddleware:
    """Loads the account before any view runs, and shows our page where SQL is away.

    Whoever looks at `request.user` first would meet the outage: a middleware, whose
    failure Django turns into a 500.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Any, args: Any, kwargs: Any
    ) -> HttpResponseBase | None:
        """Loads the account; a marked view gets it from the session instead."""
        try:
            _ = request.user.is_authenticated
        except DatabaseError as error:
            if not is_away(error):
                raise
            is_marked = getattr(view, "works_without_database", False)
            person = _user_in_session(request) if is_marked else None
            if person is None:
                return _unavailable(request, error)
            log.warning("database_away_for_view path=%s", request.path)
            request.user = person
        return None

    def process_exception(
        self, request: HttpRequest, exception: Exception
    ) -> HttpResponseBase | None:
        return _unavailable(request, exception) if is_away(exception) else None


def _unavailable(request: HttpRequest, error: Exception) -> HttpResponseBase:
    log.error("database_unavailable error=%s", type(error).__name__)
    return unavailable(request, "database_down.html")


def _user_in_session(request: HttpRequest) -> User | None:
    """The account as the sign-in found it; never saved, and without any rights."""
    session = cast("StaffRequest", request).session
    profile = StaffProfile.from_session(session)
    if profile is None or USER_SESSION_KEY not in session:
        return None
    return User(
        pk=int(session[USER_SESSION_KEY]),
        identity=User.identity_of(profile.issuer, profile.sub),
        issuer=profile.issuer,
        sub=profile.sub,
        username=profile.username,
        name=profile.name,
    )
