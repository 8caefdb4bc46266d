"""Finds the sessions that a selection means, and opens those that are looked at.

Candidates come from the facts, in bulk and unopened. Whatever leaves this module as a
LiveSession was opened, and is live.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from accounts import keys
from accounts.sessions import clock, cutoff, facts, index, values
from accounts.sessions.facts import Kind
from accounts.sessions.live_session import LiveSession
from accounts.sessions.selection import Selection


def seen(store: Any, ids: Sequence[str]) -> list[LiveSession]:
    """The live ones among these, in their order; what is dead leaves the index."""
    now = clock.now()
    found, gone = [], []
    used = index.last_uses(store, ids)
    read = values.read_with_limits(store, ids)
    for (identifier, record, expiry, mark), use in zip(read, used, strict=True):
        if record is None or not record.is_live(expiry, mark, now):
            gone.append(identifier)
        elif record.person:
            # The index knows the last use to the second, the expiry not always.
            found.append(LiveSession.of(record, use or record.last_used(expiry)))
    index.forget(store, gone, now)
    return found


def matching(store: Any, selection: Selection) -> set[str]:
    """Ids of the sessions meant, as far as facts tell, which is nearly always exactly.

    Not told apart from live ones: those that died since they were last pruned.
    """
    if selection.session:
        return {selection.session} if keys.is_session_id(selection.session) else set()
    noted = _noted(store, selection)
    for kind in Kind:
        noted = _suiting(store, selection, kind, noted)
    noted = _within_times(store, selection, noted)
    return set(noted)


def _noted(store: Any, selection: Selection) -> dict[str, bytes]:
    if selection.person is None:
        return facts.everything(store, keys.buckets())
    names = [
        name for issuer, sub in selection.person for name in keys.people(issuer, sub)
    ]
    return facts.of_each(store, index.listed(store, names, clock.now()))


def _suiting(
    store: Any, selection: Selection, kind: Kind, noted: dict[str, bytes]
) -> dict[str, bytes]:
    if not noted or not _narrows(selection, kind):
        return noted
    dictionary, place = facts.dictionary(store, kind), kind.place
    suiting = {
        word for word, text in dictionary.items() if _suits(selection, kind, text)
    }
    others = dictionary.keys() - suiting
    found = {i: fact for i, fact in noted.items() if fact[place] not in others}
    # A word that the dictionary lost says nothing: those few are opened.
    unknown = [i for i, fact in found.items() if fact[place] not in suiting]
    opened = {s.id for s in seen(store, unknown) if selection.matches(s)}
    for identifier in set(unknown) - opened:
        del found[identifier]
    return found


def _narrows(selection: Selection, kind: Kind) -> bool:
    if kind is Kind.STANDING:
        return bool(selection.provider or selection.department or selection.group)
    if kind is Kind.DEVICE:
        return bool(selection.agent)
    return selection.network is not None


def _suits(selection: Selection, kind: Kind, text: str) -> bool:
    if kind is Kind.STANDING:
        return selection.suits_standing(*json.loads(text or '["", "", []]'))
    if kind is Kind.DEVICE:
        return selection.suits_device(text)
    return selection.suits_address(text)


def _within_times(
    store: Any, selection: Selection, noted: dict[str, bytes]
) -> dict[str, bytes]:
    after, before = selection.started_within()
    # What a cut-off ended is dead, also while its clear-up is still to come.
    after = max(after, *cutoff.marks(store))
    if after or before is not None:
        first = facts.moment(after)
        last = facts.moment(before) if before is not None else b"\xff" * 6
        noted = {i: f for i, f in noted.items() if first <= f[facts.START] < last}
    used_before = selection.used_before(clock.now())
    if used_before is None:
        return noted
    idle = index.used_until(store, noted, used_before)
    return {i: fact for i, fact in noted.items() if i in idle}
