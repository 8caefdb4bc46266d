"""Which sessions an admin means to end, and how sure we must be of it."""

from __future__ import annotations

from dataclasses import dataclass, field
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
# What stands beside the filters in the forms that lead here.
OUR_NAMES = frozenset(
    {"scope", "confirmed", "shown", "reason", "typed", "own", "csrfmiddlewaretoken"}
)


def is_many(total: int) -> bool:
    """Whether to end so many is a bulk."""
    return total > ALONE_AT_MOST


class Scope(StrEnum):
    CHOSEN = "chosen"
    PERSON = "person"
    MATCHING = "matching"
    EVERYONE = "everyone"


def _only_person(selection: Selection) -> tuple[str, str] | None:
    """The one person that a selection means whole, and says nothing else of."""
    people = selection.person or ()
    is_only = len(people) == 1 and selection == Selection(person=people)
    return people[0] if is_only else None


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

        A filter with a mistake in it is unclear, and so is a name that is no filter: to
        leave it out would be to end more than was meant.
        """
        form, scope = FilterForm(data, besides=OUR_NAMES), data.get("scope", "chosen")
        filled = dict(form.filled())
        if form.unknown:
            return None
        if scope == Scope.EVERYONE and not filled:
            return cls(Scope.EVERYONE, urlencode({"scope": scope}))
        if scope in {Scope.MATCHING, Scope.PERSON}:
            return cls._filtered(Scope(scope), form)
        if scope != Scope.CHOSEN or filled.keys() - {"session"}:
            return None
        given = dict.fromkeys(data.getlist("session"))
        ids = tuple(each for each in given if keys.is_session_id(each))
        if not ids or len(ids) > ALONE_AT_MOST:
            return None
        return cls(Scope.CHOSEN, urlencode([("session", each) for each in ids]), ids)

    @classmethod
    def _filtered(cls, scope: Scope, form: FilterForm) -> Self | None:
        if not form.is_valid() or form.selection() == Selection():
            return None
        selection = form.selection()
        if person := _only_person(selection):
            # Not their sessions one by one: a sign-in under way is theirs, too.
            named = dict(zip(("issuer", "sub"), person, strict=True))
            query = urlencode({"scope": Scope.PERSON, **named})
            return cls(Scope.PERSON, query, selection=selection)
        if scope is Scope.PERSON:
            return None
        query = urlencode({"scope": scope, **dict(form.filled())})
        return cls(scope, query, selection=selection)

    def look(self) -> tuple[int, list[str]]:
        """How many are live now, and of a filter which; raises SessionStoreError."""
        if self.scope is Scope.MATCHING:
            ids = live.matching(self.selection)
            return len(ids), ids
        if self.scope is Scope.CHOSEN:
            return len(live.find_each(self.ids)), []
        return live.select(self.selection, size=1).total, []

    @property
    def person(self) -> tuple[str, str] | None:
        """The one person, as issuer and sub, whose every session is meant."""
        return _only_person(self.selection) if self.scope is Scope.PERSON else None

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
