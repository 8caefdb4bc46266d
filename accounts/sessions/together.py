"""Several sessions that are read with one question to the store.

For whoever has many calls to judge at once. Each session is read once, for its one
call, and the question leaves when the first of them is wanted: after all of those
calls have come, so that a kill before any of them is seen (P1).
"""

from __future__ import annotations

from collections.abc import Iterator

from accounts import keys
from accounts.sessions.errors import SessionStoreError, StoreUnavailable
from accounts.sessions.store import SessionStore
from accounts.sessions.stored import Found, look_up_each


class Together:
    """Makes the sessions. All are to be made before one is opened."""

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._found: dict[str, Found] | None = None
        self._failed = False

    def session(self, session_key: str | None) -> SessionStore:
        """The session of this key, or of nobody."""
        ids = keys.session_ids(session_key) if session_key else []
        self._ids += ids
        return _OneOfMany(session_key, ids, self)

    def found(self, identifier: str) -> Found:
        """What the store has under this id; raises as `look_up` does.

        An outage is met once and is everybody's: asking again for each would add up
        their time-outs.
        """
        if self._failed:
            raise StoreUnavailable("asked-together")
        if self._found is None:
            try:
                answers = look_up_each(self._ids)
            except SessionStoreError:
                self._failed = True
                raise
            self._found = dict(zip(self._ids, answers, strict=True))
        return self._found[identifier]


class _OneOfMany(SessionStore):
    def __init__(
        self, session_key: str | None, ids: list[str], together: Together
    ) -> None:
        super().__init__(session_key)
        self._ids, self._together = ids, together

    def _looked_up(self, session_key: str) -> Iterator[tuple[str, Found]]:
        for identifier in self._ids:
            yield identifier, self._together.found(identifier)
