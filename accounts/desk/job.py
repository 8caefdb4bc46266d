"""An ending that takes longer than a request may: so many, then the next so many.

What is meant and how far it is stands in the admin's own session. Each step is a POST
of the page that shows the progress, sent by its script, or by hand where none runs.
Nothing is lost when it stops half-way: what is ended is ended, and the page goes on.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Self

from django.http import HttpRequest, QueryDict
from django.utils import timezone

from accounts.desk.filters import FilterForm
from accounts.desk.target import Target
from accounts.sessions import live
from accounts.sessions.live import Outcome
from accounts.sessions.selection import Selection

SESSION_KEY = "endings"
STEP_SECONDS = 1.0
KEPT_AT_MOST = 5


@dataclass(frozen=True, slots=True)
class Job:
    """`as_of` is when its number was shown: nobody who signs in later is meant."""

    id: str
    query: str
    as_of: str
    besides: str
    reason: str
    total: int
    ended: int = 0
    gone: int = 0
    pending: bool = False
    durable: bool = True
    acknowledged: bool | None = None
    is_done: bool = False

    @classmethod
    def begin(cls, request: HttpRequest, query: str, **what: Any) -> Self:
        """A job that has done nothing yet, remembered in this session."""
        job = cls(id=secrets.token_hex(6), query=query, **what)
        job.remember(request)
        return job

    @classmethod
    def of(cls, request: HttpRequest, job_id: str) -> Self | None:
        found: Mapping[str, Any] | None = _jobs(request).get(job_id)
        return cls(**found) if found else None

    def remember(self, request: HttpRequest) -> None:
        others = {key: job for key, job in _jobs(request).items() if key != self.id}
        kept = list(others.items())[-KEPT_AT_MOST:]
        request.session[SESSION_KEY] = {**dict(kept), self.id: asdict(self)}

    def forget(self, request: HttpRequest) -> None:
        jobs = _jobs(request)
        jobs.pop(self.id, None)
        request.session[SESSION_KEY] = jobs

    def selection(self) -> Selection:
        """What is left to be ended, however long it takes to get there.

        Raises ValueError for a query that says nothing: never "everyone" by mistake.
        """
        target = Target.of(QueryDict(self.query))
        if target is None:
            raise ValueError("no target")
        moment = datetime.fromisoformat(self.as_of)
        selection = target.begun_before(moment).selection
        if selection.idle_for is not None:
            # Idle then, and not used since.
            idle = selection.idle_for + (timezone.now() - moment)
            selection = replace(selection, idle_for=idle)
        return replace(selection, besides=self.besides)

    @property
    def filters(self) -> str:
        """The address of the list that shows what is left."""
        return FilterForm(QueryDict(self.query)).query

    def step(self, by: str) -> Self:
        """Ends as many as fit into STEP_SECONDS. Raises SessionStoreError."""
        until: float | None = None

        def should_stop() -> bool:
            # At least one batch, however long it took to find them.
            nonlocal until
            if until is None:
                until = time.monotonic() + STEP_SECONDS
                return False
            return time.monotonic() > until

        outcome = live.end_selected(
            self.selection(), by=by, reason=self.reason, should_stop=should_stop
        )
        return self._with(outcome)

    def _with(self, outcome: Outcome) -> Self:
        acknowledged = outcome.acknowledged
        if acknowledged is None or self.acknowledged is False:
            acknowledged = self.acknowledged
        return replace(
            self,
            ended=self.ended + len(outcome.ended),
            gone=self.gone + len(outcome.already_gone),
            pending=self.pending or outcome.pending,
            durable=self.durable and outcome.durable,
            acknowledged=acknowledged,
            is_done=not outcome.incomplete,
        )


def _jobs(request: HttpRequest) -> dict[str, Any]:
    return dict(request.session.get(SESSION_KEY, {}))
