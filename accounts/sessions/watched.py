"""The session of a request, which notices when it is used from somewhere else.

A cookie that was copied gives itself away: another browser, another network. That is
a sign and no proof (people travel, phones roam), so by default it is a flag for the
security admins and no more; SESSION_CHANGE=end makes it the end of the session.

Compared wherever a session is loaded, with what the sealed record holds anyway: a few
look-ups in memory, and no question to the store unless something is new.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any, cast

from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest

from accounts import audit
from accounts.browser import Browser
from accounts.profile import StaffProfile
from accounts.sessions import change, clock, live
from accounts.sessions.change import Change
from accounts.sessions.errors import SessionStoreError
from accounts.sessions.record import Record
from accounts.sessions.store import SessionStore
from accounts.sessions.stored import CHANGED, GONE, sealed_value, swap

log = logging.getLogger(__name__)

# Each is written into the record; after so many the flag has said enough.
CHANGES_AT_MOST = 8
USED_ELSEWHERE = "used from another device or network"


class WatchedSession(SessionStore):
    """As SessionStore, for one request."""

    def __init__(self, session_key: str | None, request: HttpRequest) -> None:
        super().__init__(session_key)
        # Not the request, which has us: what goes round is left to the collector.
        self._meta = request.META

    def load(self) -> dict[str, Any]:
        data = super().load()
        if self._record is None or self._record.person is None:
            return data
        present = Browser.named_in(self._meta).as_remembered()
        first = change.began_in(data)
        if present == first:
            return data
        known = change.changes_in(data)
        browsers = (first, *(each.browser for each in known))
        events = _events(present, browsers)
        if not events or len(known) == CHANGES_AT_MOST:
            return data
        now = datetime.fromtimestamp(clock.now(), UTC)
        return self._changed(data, (*known, Change(now, present)), events)

    def _changed(
        self,
        data: dict[str, Any],
        changes: tuple[Change, ...],
        events: list[audit.Event],
    ) -> dict[str, Any]:
        noted = {change.SESSION_KEY: [each.to_session() for each in changes]}
        record = cast("Record", self._record).with_data({**data, **noted})
        sealed = sealed_value(record)
        try:
            outcome, _ = swap(record.name, self._read, sealed)
        except SessionStoreError:
            # A store that takes no writes: the question that was asked is answered.
            return data
        if outcome == GONE:
            return self._ended()
        if outcome == CHANGED:
            # A page that opens asks for many things at once. One request notes the
            # change and enters it in the audit; the others find it noted.
            return self.load()
        self._record, self._read = record, sealed
        for event in events:
            self._recorded(event, data, changes[-1].browser)
        if settings.SESSION_CHANGE == "end":
            live.end([str(self.session_id)], by="system", reason=USED_ELSEWHERE)
            return self._ended()
        return dict(record.data)

    def _recorded(
        self, event: audit.Event, data: dict[str, Any], browser: Browser
    ) -> None:
        profile = StaffProfile.from_session(data)
        try:
            audit.record(
                event,
                actor=profile.username if profile else "",
                subject=profile.username if profile else "",
                session_id=self._record.id if self._record else "",
                address=browser.address or None,
                details={"agent": browser.agent},
            )
        except DatabaseError:
            log.exception("audit_not_written event=%s", event)

    def _ended(self) -> dict[str, Any]:
        """As if no session had been found."""
        self._session_key = None
        self._record = None
        return {}


def _events(present: Browser, known: tuple[Browser, ...]) -> list[audit.Event]:
    found = []
    if all(map(present.is_elsewhere, known)):
        found.append(audit.Event.ADDRESS_CHANGED)
    if all(map(present.is_another_device, known)):
        found.append(audit.Event.AGENT_CHANGED)
    return found
