"""The live sessions, as people see them: list, find, end, purge.

Every end that somebody decided is first a row in the ledger, then an act in the store.
The `Outcome` says what is known afterwards, and never more than that.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db import DatabaseError, transaction

from accounts import audit, keys, places
from accounts.browser import device
from accounts.models import Revocation, User
from accounts.profile import StaffProfile
from accounts.sessions import audit_copy, clock, fence, index, ledger, values
from accounts.sessions.change import Change, changes_in
from accounts.sessions.connections import Nonsense, answering, client
from accounts.sessions.errors import SessionStoreError
from accounts.sessions.index import Order
from accounts.sessions.record import Record

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LiveSession:
    """One live session, without anything that would work as a cookie."""

    id: str
    profile: StaffProfile
    provider: str
    address: str
    agent: str
    began: datetime
    last_used: datetime
    idle_ends: datetime
    ends: datetime
    changes: tuple[Change, ...] = ()
    current: bool = False

    @property
    def device(self) -> str:
        return device(self.agent)

    @property
    def place(self) -> str:
        return str(places.in_words(self.address))

    @classmethod
    def of(cls, record: Record, last_used: float, current: bool = False) -> LiveSession:
        sign_in = record.data.get("sign_in", {})
        profile = StaffProfile.from_session(record.data)
        if profile is None:
            raise ValueError("not the session of a signed-in person")
        return cls(
            id=record.id,
            profile=profile,
            provider=sign_in.get("provider", ""),
            address=sign_in.get("address", ""),
            agent=sign_in.get("agent", ""),
            began=_moment(record.began),
            last_used=_moment(last_used),
            idle_ends=_moment(min(last_used + record.idle, record.ends)),
            ends=_moment(record.ends),
            changes=changes_in(record.data),
            current=current,
        )


@dataclass(slots=True)
class Outcome:
    """What a kill did.

    `pending`: the store was away; the kill is in the ledger and takes effect before
    the store answers its first question. `durable`: it is in the ledger.
    `acknowledged`: a replica has it too; None when the store has no replica.
    """

    ended: list[str] = field(default_factory=list)
    already_gone: list[str] = field(default_factory=list)
    pending: bool = False
    durable: bool = True
    acknowledged: bool | None = None


def count() -> int:
    """How many sessions are live now. Raises SessionStoreError."""
    with answering():
        return index.count(_store(), clock.now())


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
        store = _store()
        index.prune_all(store, clock.now())
        return _seen(store, index.page(store, order, offset, size, descending))


def of_person(issuer: str, sub: str) -> list[LiveSession]:
    """Everything this person has open, the last used first."""
    with answering():
        store = _store()
        found = _seen(store, index.listed(store, keys.people(issuer, sub), clock.now()))
    return sorted(found, key=lambda session: session.last_used, reverse=True)


def find(session_id: str) -> LiveSession | None:
    """One live session by its public reference; None when there is none."""
    if not keys.is_session_id(session_id):
        return None
    with answering():
        found = _seen(_store(), [session_id])
    return found[0] if found else None


def end(
    session_ids: Sequence[str],
    *,
    by: str,
    reason: str = "",
    event: audit.Event = audit.Event.KILLED,
) -> Outcome:
    """Ends these sessions, for good.

    Raises ValueError for what is not a session id. Neither an outage of the store nor
    one of SQL raises, as long as one of the two can be told; see Outcome.
    """
    for session_id in session_ids:
        if not keys.is_session_id(session_id):
            raise ValueError(f"not a session id: {session_id!r}")
    kind = Revocation.Kind.SESSION
    targets = [(kind, session_id) for session_id in session_ids]
    outcome = _kill(targets, by=by, reason=reason, event=event)
    outcome.already_gone = (
        [] if outcome.pending else [i for i in session_ids if i not in outcome.ended]
    )
    return outcome


def end_person(
    user: User,
    *,
    by: str,
    reason: str = "",
    event: audit.Event = audit.Event.KILLED,
) -> Outcome:
    """Ends everything this person has open that began before now."""
    return end_subject(user.issuer, user.sub, by=by, reason=reason, event=event)


def end_subject(
    issuer: str,
    sub: str,
    *,
    by: str,
    reason: str = "",
    event: audit.Event = audit.Event.KILLED,
) -> Outcome:
    """As `end_person`, for somebody who may have no account here."""
    target = f"{issuer}\n{sub}"
    return _kill([(Revocation.Kind.PERSON, target)], by=by, reason=reason, event=event)


def end_origin(issuer: str, sid: str, *, by: str, reason: str = "") -> Outcome:
    """Ends what stems from one session at the provider."""
    return _kill(
        [(Revocation.Kind.ORIGIN, f"{issuer}\n{sid}")],
        by=by,
        reason=reason,
        event=audit.Event.LOGGED_OUT_BY_PROVIDER,
    )


def end_everyone(*, by: str, reason: str = "") -> Outcome:
    """Ends every session that began before now: one mark, whatever their number.

    From the mark on they are refused; `clear_up` removes them from the store.
    """
    return _kill(
        [(Revocation.Kind.EVERYONE, "")],
        by=by,
        reason=reason,
        event=audit.Event.CUT_OFF,
    )


def clear_up() -> int:
    """Removes what a cut-off has ended, in batches; tells how many went."""
    with answering():
        return ledger.clear_up(_store())


def settle() -> int:
    """Writes the kills into the ledger that SQL could not take at the time."""
    with answering():
        settled = ledger.settle(_store())
    audit_copy.settle()
    return settled


def purge() -> int:
    """Takes what has expired out of the index; tells how many entries went."""
    with answering():
        return index.prune_all(_store(), clock.now())


def count_dead() -> int:
    """How many entries `purge` would remove."""
    with answering():
        return index.count_dead(_store(), clock.now())


def _store() -> Any:
    """The store, once it agrees with the ledger."""
    store = client()
    if store.ping() is not True:
        raise Nonsense("no pong")
    while not fence.stands():
        fence.raise_with(ledger.replay, settings.STORE_TIMEOUT_SECONDS)
    return store


def _kill(
    targets: Sequence[tuple[Revocation.Kind, str]],
    *,
    by: str,
    reason: str,
    event: audit.Event,
) -> Outcome:
    # Should the store need a replay, then before our own row is in the ledger: what
    # a replay ends would not be counted as ended here.
    store, trouble = _store_or_trouble()
    rows = _written(targets, by, reason)
    outcome = Outcome(durable=rows is not None)
    if rows is None:
        rows = [ledger.draft(*target, by=by, reason=reason) for target in targets]
    ended: list[Record] = []
    try:
        if trouble:
            raise trouble
        with answering():
            ledger.leave_marks(store, rows)
            ended = ledger.carry_out(store, rows)
            if not outcome.durable:
                ledger.hold(store, rows)
            outcome.acknowledged = ledger.is_acknowledged(store)
    except SessionStoreError:
        if not outcome.durable:
            raise
        outcome.pending = True
        fence.lower()
    outcome.ended = [record.id for record in ended]
    _record(event, ended, outcome, by, reason)
    return outcome


def _store_or_trouble() -> tuple[Any, SessionStoreError | None]:
    try:
        with answering():
            return _store(), None
    except SessionStoreError as error:
        return None, error


def _written(
    targets: Sequence[tuple[Revocation.Kind, str]], by: str, reason: str
) -> list[Revocation] | None:
    try:
        with transaction.atomic():
            return [
                ledger.write(kind, target, by=by, reason=reason)
                for kind, target in targets
            ]
    except DatabaseError as error:
        log.error("kill_not_durable error=%s", type(error).__name__)
        return None


def _record(
    event: audit.Event, ended: Sequence[Record], outcome: Outcome, by: str, reason: str
) -> None:
    """One entry for each session, all in one transaction: ten thousand are no load."""
    entries = []
    if event is audit.Event.CUT_OFF:
        entries = [audit.Entry.of(event, actor=by, reason=reason)]
    for record in ended:
        profile = StaffProfile.from_session(record.data)
        name = profile.username if profile else ""
        entries.append(
            audit.Entry.of(
                event, actor=by, subject=name, session_id=record.id, reason=reason
            )
        )
    # Where SQL just failed to take the kill, it is not asked a second time.
    audit.record_all(entries, later=not outcome.durable)


def _seen(store: Any, ids: Sequence[str]) -> list[LiveSession]:
    """The live ones among these; what is dead leaves the index."""
    now = clock.now()
    found, gone = [], []
    for identifier, record, expiry, cutoff in values.read_with_limits(store, ids):
        if record is None or not record.is_live(expiry, cutoff, now):
            gone.append(identifier)
        elif record.person:
            found.append(LiveSession.of(record, record.last_used(expiry)))
    index.forget(store, gone, now)
    return found


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
