"""The live sessions, as people see them: list, find, end, purge.

The one module of the store that views and commands need.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from accounts import keys
from accounts.sessions import (
    audit_copy,
    clock,
    cutoff,
    departures,
    index,
    ledger,
    search,
)
from accounts.sessions.connections import answering
from accounts.sessions.errors import SessionStoreError
from accounts.sessions.index import Order
from accounts.sessions.kill import (
    agreeing_store,
    end,
    end_each,
    end_everyone,
    end_origin,
    end_person,
    end_selected,
    end_subject,
)
from accounts.sessions.live_session import LiveSession
from accounts.sessions.outcome import Outcome
from accounts.sessions.selection import Selection

__all__ = (
    "Found",
    "LiveSession",
    "Order",
    "Outcome",
    "Selection",
    "clear_up",
    "count",
    "count_dead",
    "end",
    "end_each",
    "end_everyone",
    "end_origin",
    "end_person",
    "end_selected",
    "end_subject",
    "find",
    "find_each",
    "is_believed",
    "matching",
    "of_person",
    "page",
    "purge",
    "select",
    "settle",
)

# So many are opened to be sure of each; of more, the facts are believed.
FEW = 500


@dataclass(frozen=True, slots=True)
class Found:
    """One page of what a selection means, and how many there are in all."""

    total: int
    sessions: list[LiveSession]


def count() -> int:
    """How many sessions are live now. Raises SessionStoreError."""
    with answering():
        return cutoff.count_live(agreeing_store())


def page(
    order: Order = Order.LAST_USE,
    offset: int = 0,
    size: int = 100,
    descending: bool = True,
) -> list[LiveSession]:
    """One page of the list; the same cost for a thousand sessions and a million.

    What died since the index was written is left out and taken off the index, so a
    page may be a little short. Raises SessionStoreError.
    """
    with answering():
        store = agreeing_store()
        index.prune_all(store, clock.now())
        return search.seen(store, index.page(store, order, offset, size, descending))


def of_person(issuer: str, sub: str) -> list[LiveSession]:
    """Everything this person has open, the last used first."""
    with answering():
        store = agreeing_store()
        found = search.seen(
            store, index.listed(store, keys.people(issuer, sub), clock.now())
        )
    return sorted(found, key=lambda session: session.last_used, reverse=True)


def find(session_id: str) -> LiveSession | None:
    """One live session by its public reference; None when there is none."""
    if not keys.is_session_id(session_id):
        return None
    found = find_each([session_id])
    return found[0] if found else None


def find_each(session_ids: Sequence[str]) -> list[LiveSession]:
    """The live ones of these, in their order; they must be session ids."""
    if not session_ids:
        return []
    with answering():
        return search.seen(agreeing_store(), session_ids)


def matching(selection: Selection) -> list[str]:
    """The ids of all live sessions that match, the last used first.

    As exact as the total of `select`, and as costly. Raises SessionStoreError.
    """
    with answering():
        store = agreeing_store()
        index.prune_all(store, clock.now())
        ids = search.matching(store, selection) - {selection.besides}
        listed = index.sort(store, Order.LAST_USE, ids)
        if len(listed) > FEW:
            return listed
        return [s.id for s in search.seen(store, listed) if selection.matches(s)]


def select(
    selection: Selection,
    order: Order = Order.LAST_USE,
    offset: int = 0,
    size: int = 100,
    descending: bool = True,
) -> Found:
    """One page of the live sessions that match, and their exact number.

    Costs time in proportion to all sessions, a third of a second for 100,000, but for
    a selection of everything, of one session or of a few people; and of everything,
    too, while a cut-off is being cleared up. Raises SessionStoreError.
    """
    if selection == Selection() and not _holds_ended():
        return Found(count(), page(order, offset, size, descending))
    with answering():
        store = agreeing_store()
        index.prune_all(store, clock.now())
        ids = search.matching(store, selection)
        listed = index.sort(store, order, ids, descending)
        candidates = listed[offset : offset + size]
        found = [s for s in search.seen(store, candidates) if selection.matches(s)]
    return Found(len(listed) - len(candidates) + len(found), found)


def _holds_ended() -> bool:
    """Whether the index still lists what a cut-off has ended, page after page."""
    with answering():
        store = agreeing_store()
        mark = max(cutoff.marks(store))
        return bool(mark and index.begun_before(store, mark, 1))


def is_believed() -> bool:
    """Whether the store answers, is the current one and has seen the whole log."""
    try:
        with answering():
            return agreeing_store() is not None
    except SessionStoreError:
        return False


def clear_up() -> int:
    """Removes what a cut-off has ended, in batches; tells how many went."""
    with answering():
        return cutoff.clear_up(agreeing_store())


def settle() -> int:
    """Writes the kills into the ledger that SQL could not take at the time.

    What is in it of sign-outs that no store can undo any more goes.
    """
    with answering():
        settled = ledger.settle(agreeing_store())
    departures.forget()
    audit_copy.report_outage()
    audit_copy.settle()
    return settled


def purge() -> int:
    """Takes what has expired out of the index; tells how many entries went."""
    with answering():
        return index.prune_all(agreeing_store(), clock.now())


def count_dead() -> int:
    """How many entries `purge` would remove."""
    with answering():
        return index.count_dead(agreeing_store(), clock.now())
