"""Which sessions an admin means to end, and how sure we must be of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode

from django.http import QueryDict

from accounts import keys
from accounts.desk.filters import FilterForm
from accounts.sessions import live
from accounts.sessions.live import LiveSession
from accounts.sessions.selection import Selection

# From here on it is a bulk: a permission, a fresh sign-in and a typed number.
ALONE_AT_MOST = 50
SAMPLE = 10


def is_many(total: int) -> bool:
    """Whether to end so many is a bulk."""
    return total > ALONE_AT_MOST


class Scope(StrEnum):
    CHOSEN = "chosen"
    MATCHING = "matching"
    EVERYONE = "everyone"


@dataclass(frozen=True, slots=True)
class Target:
    """`query` says it all again, for the address of the page that asks."""

    scope: Scope
    query: str
    ids: tuple[str, ...] = ()
    selection: Selection = field(default_factory=Selection)

    @classmethod
    def of(cls, data: QueryDict) -> Self | None:
        """What a form or an address means; None when that is nothing, or unclear.

        A filter with a mistake in it is unclear: to leave that field out would be to
        end more than was meant.
        """
        scope = data.get("scope", Scope.CHOSEN)
        if scope == Scope.EVERYONE:
            return cls(Scope.EVERYONE, urlencode({"scope": scope}))
        if scope == Scope.MATCHING:
            form = FilterForm(data)
            filled = dict(form.filled())
            if not filled or not form.is_valid():
                return None
            query = urlencode({"scope": scope, **filled})
            return cls(Scope.MATCHING, query, selection=form.selection())
        given = dict.fromkeys(data.getlist("session"))
        ids = tuple(each for each in given if keys.is_session_id(each))
        if not ids or len(ids) > ALONE_AT_MOST:
            return None
        return cls(Scope.CHOSEN, urlencode([("session", each) for each in ids]), ids)

    def begun_before(self, moment: datetime) -> Self:
        """The same, without whoever signs in from now on: nobody has seen them."""
        # Beginnings are kept in whole milliseconds, rounded down. Of those that began
        # within this one nobody can tell on which side of the moment: they stay.
        moment -= timedelta(microseconds=moment.microsecond % 1000)
        before = self.selection.started_before
        before = min(before, moment) if before else moment
        return replace(self, selection=replace(self.selection, started_before=before))

    def look(self) -> tuple[int, Sequence[LiveSession]]:
        """How many are live now, exactly, and a sample. Raises SessionStoreError."""
        if self.scope is Scope.CHOSEN:
            found = [each for each in map(live.find, self.ids) if each]
            return len(found), found
        seen = live.select(self.selection, size=SAMPLE)
        return seen.total, seen.sessions

    def holds(self, session: LiveSession) -> bool:
        """Whether this session is among them."""
        if self.scope is Scope.CHOSEN:
            return session.id in self.ids
        return self.selection.matches(session)

    def is_bulk(self, total: int) -> bool:
        """Whether it is so many that more is asked than a reason."""
        return self.scope is Scope.EVERYONE or is_many(total)

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The same as the hidden fields of a form."""
        return parse_qsl(self.query)

    @property
    def filters(self) -> str:
        """The address of the list that shows them."""
        return FilterForm(QueryDict(self.query)).query

    @property
    def chips(self) -> list[dict[str, Any]]:
        """The filter in words, for the page that asks."""
        return FilterForm(QueryDict(self.query)).chips
