"""What a page that asks has shown, remembered until the answer comes.

Which sessions are meant, and how many, is taken from here and not from the form: the
number is the one that was shown, however many match meanwhile.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from django.http import HttpRequest

from accounts.desk.job import Job
from accounts.desk.target import SAMPLE, Scope, Target
from accounts.sessions import frozen, live
from accounts.sessions.live import LiveSession

SESSION_KEY = "shown"
# As long as somebody may look at the page that asks, before it must be asked anew.
VALID_SECONDS = 3600
KEPT_AT_MOST = 3


@dataclass(frozen=True, slots=True)
class Shown:
    """`token` names the list of ids in the store, where there is one."""

    token: str
    query: str
    total: int
    at: float

    @classmethod
    def show(
        cls, request: HttpRequest, target: Target, total: int, ids: Sequence[str]
    ) -> Self:
        """Remembers what is meant and, where a filter means it, keeps the very ids.

        Raises ListTooLong, and SessionStoreError.
        """
        if target.scope is Scope.MATCHING:
            token = frozen.freeze(ids, VALID_SECONDS)
        else:
            token = secrets.token_hex(12)
        shown = cls(token, target.query, total, time.time())
        if target.scope is not Scope.CHOSEN:
            shown._remember(request)
        return shown

    @classmethod
    def recall(cls, request: HttpRequest, target: Target, token: str) -> Self | None:
        """What this person was shown of this target; None when it is too long ago."""
        found: Mapping[str, Any] | None = _all(request).get(token)
        shown = cls(**found) if found else None
        if shown is None or shown.query != target.query:
            return None
        return shown if 0 <= time.time() - shown.at <= VALID_SECONDS else None

    def sample(self, target: Target) -> Sequence[LiveSession]:
        """Some of them, opened. Raises SessionStoreError."""
        if target.scope is Scope.CHOSEN:
            return live.find_each(target.ids)
        if target.scope is not Scope.MATCHING:
            return live.select(target.selection, size=SAMPLE).sessions
        try:
            ids = frozen.read(self.token, 0) if self.total else []
        except frozen.ListLost:
            return []
        return live.find_each(ids[:SAMPLE])

    def _remember(self, request: HttpRequest) -> None:
        kept = {**_all(request), self.token: asdict(self)}
        used = {job.frozen for job in Job.all(request)}
        for token in list(kept)[:-KEPT_AT_MOST]:
            del kept[token]
            # One that a job works through is the job's.
            if token not in used:
                frozen.drop(token)
        request.session[SESSION_KEY] = kept


def _all(request: HttpRequest) -> dict[str, Any]:
    return dict(request.session.get(SESSION_KEY, {}))
