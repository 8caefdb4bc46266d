"""Ends sessions. Every end that somebody decided is first a row in the ledger, then an
act in the store. The `Outcome` says what is known afterwards, and never more than that.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from django.db import DatabaseError
from django.db.models import Model

from accounts import audit, keys
from accounts.models import Revocation, User
from accounts.profile import StaffProfile
from accounts.sessions import clock, cutoff, fence, index, ledger, marks, search
from accounts.sessions.connections import Nonsense, answering, client
from accounts.sessions.errors import SessionStoreError, StoreNotFenced
from accounts.sessions.outcome import Outcome
from accounts.sessions.record import CLOCK_LEEWAY_SECONDS, Record
from accounts.sessions.selection import Selection

log = logging.getLogger(__name__)

BATCH = 500
ONE_MILLISECOND = 0.001


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
    if not session_ids:
        return Outcome()
    for session_id in session_ids:
        if not keys.is_session_id(session_id):
            raise ValueError(f"not a session id: {session_id!r}")
    kind = Revocation.Kind.SESSION
    targets = [(kind, session_id) for session_id in session_ids]
    outcome = _kill(targets, by=by, reason=reason, event=event)
    ended = set(outcome.ended)
    outcome.already_gone = (
        [] if outcome.pending else [i for i in session_ids if i not in ended]
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
    along: Sequence[Model] = (),
) -> Outcome:
    """As `end_person`, for somebody who may have no account here.

    The rows `along` are inserted in one transaction with the kill and before anything
    is done in the store; they are written exactly if the outcome is `durable`.
    """
    target = f"{issuer}\n{sub}"
    return _kill(
        [(Revocation.Kind.PERSON, target)],
        by=by,
        reason=reason,
        event=event,
        along=along,
    )


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


def end_selected(
    selection: Selection,
    *,
    by: str,
    reason: str = "",
    event: audit.Event = audit.Event.KILLED,
    progress: Callable[[int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Outcome:
    """Ends exactly those sessions that match and began before the call.

    In batches: `progress` is told how many are ended so far after each, `should_stop`
    asked before each. Every session is opened and compared with the selection once
    more before it is ended. Raises SessionStoreError when the store cannot be asked
    whom to end; when that happens in the middle, the outcome is `incomplete`.
    """
    called = clock.now()
    with answering():
        ids = sorted(search.matching(_any_store(), selection))
    outcome = Outcome()
    for batch in _batches(ids):
        if should_stop and should_stop():
            outcome.incomplete = True
            break
        try:
            matching = _still_matching(batch, selection, called)
        except SessionStoreError:
            outcome.incomplete = True
            break
        outcome.add(end(matching, by=by, reason=reason, event=event))
        if progress:
            progress(len(outcome.ended))
    return outcome


def end_each(
    session_ids: Sequence[str],
    *,
    by: str,
    reason: str = "",
    progress: Callable[[int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Outcome:
    """Ends these sessions and no others, however many, in batches.

    `progress` and `should_stop` as for `end_selected`. Raises SessionStoreError when
    nothing was ended or recorded; in the middle the outcome is `incomplete`.
    """
    outcome = Outcome()
    for number, batch in enumerate(_batches(session_ids)):
        if should_stop and should_stop():
            outcome.incomplete = True
            break
        try:
            outcome.add(end(batch, by=by, reason=reason))
        except SessionStoreError:
            if not number:
                raise
            outcome.incomplete = True
            break
        if progress:
            progress(len(outcome.ended))
    return outcome


def agreeing_store() -> Any:
    """The store, once it agrees with the ledger. Belongs inside `answering`."""
    store = client()
    for _ in range(fence.MOST_CHANGES):
        ledger.raise_fence()
        # A connection that was dead leads to another store now, perhaps.
        if store.ping() is not True:
            raise Nonsense("no pong")
        if fence.stands():
            return store
    raise StoreNotFenced("another-store")


def _any_store() -> Any:
    """The store, also where SQL is away and cannot say what it has forgotten.

    Not to be believed as to who is live; but to end once more what was dead already
    harms nobody, and an admin must not have to wait for SQL.
    """
    try:
        return agreeing_store()
    except StoreNotFenced as error:
        log.warning("killing_unfenced because=%s", error.cause)
        return client()


def _still_matching(
    ids: Sequence[str], selection: Selection, called: float
) -> list[str]:
    with answering():
        sessions = search.seen(_any_store(), ids)
    return [
        session.id
        for session in sessions
        if selection.matches(session) and session.began.timestamp() < called
    ]


def _batches(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[start : start + BATCH] for start in range(0, len(ids), BATCH))


def _kill(
    targets: Sequence[tuple[Revocation.Kind, str]],
    *,
    by: str,
    reason: str,
    event: audit.Event,
    along: Sequence[Model] = (),
) -> Outcome:
    # Should the store need a replay, then before our own row is in the ledger: what
    # a replay ends would not be counted as ended here.
    store, trouble = _store_or_trouble()
    counted = _counted(store) if event is audit.Event.CUT_OFF and store else {}
    moment = _moment(store)
    rows = [
        ledger.draft(*target, by=by, reason=reason, moment=moment) for target in targets
    ]
    outcome = Outcome(durable=_is_written(rows, along))
    ended: list[Record] = []
    try:
        if trouble:
            raise trouble
        with answering():
            act = partial(_carry_out, store, rows, outcome.durable)
            ended = ledger.at_the_current_store(store, act)
            outcome.acknowledged = ledger.is_acknowledged(store)
            ledger.wait_for_other_leases(store)
    except SessionStoreError:
        if not outcome.durable:
            raise
        outcome.pending = True
        fence.lower()
    outcome.ended, outcome.records = [record.id for record in ended], ended
    entries = [_entry(event, by, reason, record) for record in ended]
    entries += _entries_of_the_whole(event, rows, outcome.pending, counted)
    # Where SQL just failed to take the kill, it is not asked a second time. All in one
    # transaction: ten thousand are no load.
    audit.record_all(entries, later=not outcome.durable)
    return outcome


def _entries_of_the_whole(
    event: audit.Event,
    rows: Sequence[Revocation],
    is_pending: bool,
    counted: dict[str, int],
) -> list[audit.Entry]:
    """What is entered beside the sessions that ended: a cut-off, or what is pending."""
    if event is audit.Event.CUT_OFF:
        (row,) = rows
        return [audit.Entry.of(event, actor=row.by, reason=row.reason, details=counted)]
    # A logout token is entered where it was accepted.
    if not is_pending or event is audit.Event.LOGGED_OUT_BY_PROVIDER:
        return []
    return [_pending_entry(event, row) for row in rows]


def _moment(store: Any) -> float:
    """When the kill is, so that it is later than what it ends; in seconds.

    By the store's clock. A session that began by a clock ahead of it is not to be
    missed by a replay. Where this process cannot reach the store, SQL's clock is
    likelier to be right than the host's.
    """
    now = clock.now()
    if store is None:
        return ledger.sql_now() if clock.skew() is None else now
    try:
        with answering():
            newest = index.newest(store)
    except SessionStoreError:
        return now
    is_plausible = newest <= now + CLOCK_LEEWAY_SECONDS
    return max(now, newest + ONE_MILLISECOND) if is_plausible else now


def _counted(store: Any) -> dict[str, int]:
    """How many sessions a cut-off is about to end, for the one entry that it has."""
    try:
        with answering():
            return {"sessions": cutoff.count_live(store)}
    except SessionStoreError:
        return {}


def _carry_out(store: Any, rows: Sequence[Revocation], durable: bool) -> list[Record]:
    marks.leave(store, rows)
    ended = ledger.carry_out(store, rows, is_new=True)
    if not durable:
        ledger.hold(store, rows)
    return ended


def _store_or_trouble() -> tuple[Any, SessionStoreError | None]:
    try:
        with answering():
            return _any_store(), None
    except SessionStoreError as error:
        return None, error


def _is_written(rows: Sequence[Revocation], along: Sequence[Model]) -> bool:
    try:
        ledger.write(rows, along)
    except DatabaseError as error:
        log.error("kill_not_durable error=%s", type(error).__name__)
        return False
    return True


def _entry(event: audit.Event, by: str, reason: str, record: Record) -> audit.Entry:
    profile = StaffProfile.from_session(record.data)
    name = profile.username if profile else ""
    return audit.Entry.of(
        event, actor=by, subject=name, session_id=record.id, reason=reason
    )


def _pending_entry(event: audit.Event, row: Revocation) -> audit.Entry:
    """For a kill whose sessions nobody can name now: the only entry it will have."""
    is_one = row.kind == Revocation.Kind.SESSION
    return audit.Entry.of(
        event,
        actor=row.by,
        subject="" if is_one else _name_of(*row.target.split("\n")),
        session_id=row.target if is_one else "",
        reason=row.reason,
        details={"pending": True},
    )


def _name_of(issuer: str, sub: str) -> str:
    try:
        user = User.objects.filter(identity=User.identity_of(issuer, sub)).first()
    except DatabaseError:
        return ""
    return user.username if user else ""
