"""The session engine (SESSION_ENGINE).

What Django's stock cache engine gets wrong for us, and this one must not:

* An outage is not a sign-out. `load` raises when the store does not answer; it never
  answers "nobody" because it could not ask.
* A dead session never comes back. `save` replaces a value only if it is still the
  value that was read, in one command on the server; there is no moment between
  looking and writing into which a kill could fall and be undone.
* Two writers do not undo each other. The one who comes second merges its own changes
  into what the first one wrote.
* A use never rewrites the value. It moves the expiry, at most once a minute, and the
  index with it; a save moves neither, so that the two cannot part.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, cast

from django.conf import settings
from django.contrib.sessions.backends.base import (
    VALID_KEY_CHARS,
    CreateError,
    SessionBase,
    UpdateError,
)
from django.utils import timezone
from django.utils.crypto import get_random_string

from accounts import keys
from accounts.sessions import (
    clock,
    departures,
    index,
    ledger,
    marks,
    values,
)
from accounts.sessions.connections import answering, client
from accounts.sessions.errors import StoreUnavailable
from accounts.sessions.record import Record
from accounts.sessions.signals import touched
from accounts.sessions.stored import (
    GONE,
    REPLACED,
    Found,
    look_up,
    note_facts,
    sealed_value,
    swap,
    touch,
)

log = logging.getLogger(__name__)

TOUCH_SECONDS = 60
# Each failed one is another writer's success, so this is how many may write at once:
# a browser's connections, and then some.
MERGE_ATTEMPTS = 20


class SessionStore(SessionBase):
    """One browser's session.

    Besides Django's contract: `session_id` is the public reference, and `begin` turns
    a session that only carried a sign-in into a live one.
    """

    def __init__(self, session_key: str | None = None) -> None:
        self._record: Record | None = None
        self._read: bytes = b""
        self._last_used = 0.0
        self._moved_from: str | None = None
        self._since = 0.0
        # What `set_expiry` asked for, until the next save: a moment, and seconds.
        self._latest_end, self._longest_idle = math.inf, math.inf
        self.was_ended = False
        super().__init__(session_key)

    # Only a value of our own form ever becomes part of a question to the store.
    def _validate_session_key(self, key: str | None) -> bool:
        return keys.is_session_key(key)

    def open(self) -> None:
        """Asks the store now rather than at first use."""
        self._get_session()  # type: ignore[attr-defined]

    @property
    def session_id(self) -> str | None:
        """The public reference; None when there is no session."""
        self.open()
        return self._record.id if self._record else None

    @property
    def record(self) -> Record | None:
        """What is stored, with the limits; None when there is no session."""
        self.open()
        return self._record

    @property
    def last_used(self) -> float:
        """Seconds since the epoch; at most TOUCH_SECONDS behind."""
        return self._last_used

    def begin(
        self,
        data: dict[str, Any],
        person: str,
        origin: str | None,
        since: float | None = None,
    ) -> None:
        """Makes this a live session from now on, with these contents and no others.

        Nothing planted before the sign-in survives, and the key is a new one: what the
        browser brought is removed from the store first. The value is written, and with
        it listed, at the next `save`. `since` is when the sign-in started, in seconds:
        a kill of the person after that wins over it.
        """
        self.flush()
        self.update(data)
        now = clock.whole_milliseconds(clock.now())
        self._since = min(since or now, now)
        self._record = Record(
            id="",
            began=now,
            ends=now + settings.SESSION_ABSOLUTE_SECONDS,
            idle=settings.SESSION_IDLE_SECONDS,
            data={},
            person=person,
            origin=origin,
        )

    def renew(self, changes: dict[str, Any], origin: str | None) -> None:
        """Moves the session to a new key with what a fresh sign-in has brought.

        Both limits and the start stay. `origin` names the provider's own session, which
        may be another one now. Raises UpdateError as `cycle_key` does.
        """
        self.open()
        if self._record is None:
            raise UpdateError
        self.update(changes)
        self._record = replace(self._record, origin=origin)
        self.cycle_key()

    # Django's contract ----------------------------------------------------

    def load(self) -> dict[str, Any]:
        """The contents; empty when there is no live session under this key.

        Raises StoreUnavailable or StoreNotFenced when that cannot be known. One round
        trip, and a second one at most once a minute.
        """
        found = self._find(self._session_key)
        if found is None:
            self._session_key = None
            return {}
        self._record, self._read, expiry = found
        self._last_used = self._record.last_used(expiry)
        self._touch()
        return dict(self._record.data)

    def exists(self, session_key: str) -> bool:
        return self._find(session_key) is not None

    def create(self) -> None:
        """Stores the session under a new key that nobody brought."""
        for _ in range(3):
            self._session_key = self._get_new_session_key()
            try:
                self.save(must_create=True)
            except CreateError:
                continue
            self.modified = True
            return
        raise StoreUnavailable("keys-collide")

    def _get_new_session_key(self) -> str:
        # Django looks first whether the key is free; creating only what is not there
        # is both safer and one round trip shorter.
        return get_random_string(32, VALID_KEY_CHARS)

    def save(self, must_create: bool = False) -> None:
        """Writes the contents, if the session is still there.

        Raises UpdateError when it was ended meanwhile, CreateError when the key was
        taken, StoreUnavailable when the store does not answer.
        """
        if self.session_key is None:
            return self.create()
        data = dict(self._get_session(no_load=must_create))  # type: ignore[attr-defined]
        if must_create:
            self._insert(data)
        else:
            self._replace(data)
        return None

    def delete(self, session_key: str | None = None) -> None:
        """Ends the session in the store; no error when it is gone already."""
        key = session_key or self.session_key
        if keys.is_session_key(key):
            _end_for_good(cast("str", key))
            with answering():
                ledger.wait_for_other_leases(client())

    def flush(self) -> None:
        super().flush()
        self._record = None
        self._latest_end, self._longest_idle = math.inf, math.inf
        self.was_ended = True

    def cycle_key(self) -> None:
        """Moves the session to a new key; the old one is gone first.

        If the old one was ended meanwhile, so is this: a kill must not lose the race
        against a rotation. Raises UpdateError then.
        """
        data = dict(self._get_session())  # type: ignore[attr-defined]
        old, record = self.session_key, self._record
        if old is None:
            return
        ended = _end_for_good(old)
        if not ended:
            raise UpdateError
        self._session_cache = data
        self._record = record
        self._moved_from = ended[0].id
        self.create()

    @classmethod
    def clear_expired(cls) -> None:
        """Takes what has expired out of the index; values expire by themselves."""
        with answering():
            index.prune_all(client(), clock.now())

    def set_expiry(self, value: int | timedelta | datetime | None) -> None:
        """Shortens the life of this session, from the next save on; never lengthens it.

        Seconds: the idle limit. A moment, or a time from now: the absolute limit; a
        moment that has passed ends the session. 0 and None ask for what is so anyway,
        that it ends with the browser and by the site's limits, and change nothing. What
        was shortened stays so, also through a new key.
        """
        if not value and not isinstance(value, timedelta):
            return
        if isinstance(value, timedelta):
            self._latest_end = min(
                self._latest_end, clock.now() + value.total_seconds()
            )
        elif isinstance(value, datetime):
            known = timezone.make_aware(value) if timezone.is_naive(value) else value
            self._latest_end = min(self._latest_end, known.timestamp())
        elif value < 0:
            self._latest_end = 0.0
        else:
            self._longest_idle = min(self._longest_idle, value)
        self.modified = True

    def get_expiry_age(self, **kwargs: Any) -> int:
        """Seconds until the nearer of the two limits, if not used again."""
        if self._record is None:
            return settings.SESSION_SIGN_IN_SECONDS
        now = clock.now()
        return max(0, int(self._limited(self._record).expiry(now) / 1000 - now))

    def get_expiry_date(self, **kwargs: Any) -> datetime:
        """The same as a moment."""
        return timezone.now() + timedelta(seconds=self.get_expiry_age())

    def get_expire_at_browser_close(self) -> bool:
        return True

    # Django's own would write a value of their own into the contents.
    async def aset_expiry(self, value: int | timedelta | datetime | None) -> None:
        self.set_expiry(value)

    async def aget_expiry_age(self, **kwargs: Any) -> int:
        return self.get_expiry_age()

    async def aget_expiry_date(self, **kwargs: Any) -> datetime:
        return self.get_expiry_date()

    async def aget_expire_at_browser_close(self) -> bool:
        return self.get_expire_at_browser_close()

    # Steps ----------------------------------------------------------------

    def _find(self, session_key: str | None) -> tuple[Record, bytes, int] | None:
        if not keys.is_session_key(session_key):
            return None
        key = cast("str", session_key)
        for identifier, (value, expiry, cutoff) in self._looked_up(key):
            if value is None:
                continue
            record = values.opened(identifier, value)
            if record and record.is_live(expiry, cutoff, clock.now()):
                return record, value, expiry
        return None

    def _looked_up(self, session_key: str) -> Iterator[tuple[str, Found]]:
        """What the store has under each id that this key may have."""
        for identifier in keys.session_ids(session_key):
            yield identifier, look_up(identifier)

    def _touch(self) -> None:
        record, now = self._record, clock.now()
        if record is None:
            return
        # A short idle limit must not run out between two notes of a use.
        if now - self._last_used < min(TOUCH_SECONDS, record.idle / 2):
            return
        try:
            with answering():
                # The list first: where that fails (a full store takes no writes), the
                # life is not lengthened either, and nothing live leaves the list early.
                if record.person:
                    index.move(client(), record, now)
                if touch(record.name, self._read, record.expiry(now)):
                    self._last_used = now
                ledger.catch_up_now_and_then()
        except StoreUnavailable:
            # The question that was asked is answered; only its use was not noted.
            return
        touched.send(sender=type(self), record=record)

    def _insert(self, data: dict[str, Any]) -> None:
        now = clock.now()
        record = self._limited(self._new_record(now)).with_data(data)
        sealed = sealed_value(record)
        with answering():
            if record.person:
                index.enter(client(), record, now)
            if not client().set(record.name, sealed, nx=True, pxat=record.expiry(now)):
                raise CreateError
            if record.person and marks.is_killed_meanwhile(
                client(), record, self._since or record.began, self._moved_from
            ):
                client().delete(record.name)
                index.leave(client(), [record])
                raise UpdateError
        self._record, self._read, self._last_used = record, sealed, now

    def _new_record(self, now: float) -> Record:
        identifier = keys.session_id(cast("str", self.session_key))
        if self._record is not None:
            kept = self._record
            return Record(
                identifier,
                kept.began,
                kept.ends,
                kept.idle,
                {},
                kept.person,
                kept.origin,
            )
        life = settings.SESSION_SIGN_IN_SECONDS
        began = clock.whole_milliseconds(now)
        return Record(identifier, began, began + life, life, {})

    def _replace(self, data: dict[str, Any]) -> None:
        if self._record is None:
            raise UpdateError
        for _ in range(MERGE_ATTEMPTS):
            limited, now = self._limited(self._record), clock.now()
            is_shorter = limited is not self._record
            record = limited.with_data(data)
            sealed = sealed_value(record)
            expiry = record.expiry(now) if is_shorter else None
            outcome, current = swap(record.name, self._read, sealed, expiry)
            if outcome == REPLACED:
                note_facts(self._record, record)
                if is_shorter:
                    self._shortened(record, now)
                self._record, self._read = record, sealed
                self._session_cache = data
                return
            if outcome == GONE:
                raise UpdateError
            data = self._merged(data, current)
        raise StoreUnavailable("contended")

    def _limited(self, record: Record) -> Record:
        """The record under the limits that `set_expiry` asked for, if shorter."""
        ends = record.ends
        if self._latest_end < ends:
            ends = max(record.began, clock.whole_milliseconds(self._latest_end))
        idle = int(min(record.idle, self._longest_idle))
        if (ends, idle) == (record.ends, record.idle):
            return record
        return replace(record, ends=ends, idle=idle)

    def _shortened(self, record: Record, now: float) -> None:
        """Brings the list up to date with the earlier end."""
        self._last_used = now
        if not record.person:
            return
        with answering():
            if record.ends > now:
                index.shorten(client(), record, now)
            else:
                index.leave(client(), [record])

    def _merged(self, mine: dict[str, Any], current: bytes) -> dict[str, Any]:
        """My changes on top of what another request wrote since I read."""
        before = cast("Record", self._record)
        now_stored = values.opened(before.id, current)
        if now_stored is None:
            raise UpdateError
        merged = dict(now_stored.data)
        for key in before.data.keys() | mine.keys():
            if key not in mine:
                merged.pop(key, None)
            elif key not in before.data or before.data[key] != mine[key]:
                merged[key] = mine[key]
        self._record, self._read = now_stored, current
        return merged


def _end_for_good(session_key: str) -> list[Record]:
    """Ends the session under this key, in the store and then in the log."""
    ids = dict.fromkeys(keys.session_ids(session_key), values.ALWAYS)

    def end() -> list[Record]:
        ended = values.erase(client(), ids)
        departures.note(ended)
        return ended

    with answering():
        return ledger.at_the_current_store(client(), end)
