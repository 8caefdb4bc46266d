"""An ending that takes longer than a request may: so many, then the next so many.

Which sessions are meant stands in the store (accounts.sessions.frozen), how far it is
in the admin's own session. Each step is a POST of the page that shows the progress,
sent by its script, or by hand where none runs. Nothing is lost when it stops half-way:
what is ended is ended, and the page goes on.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from django.http import HttpRequest, QueryDict

from accounts.desk.filters import FilterForm
from accounts.desk.target import Target
from accounts.sessions import frozen, live
from accounts.sessions.errors import SessionStoreError
from accounts.sessions.live import Outcome

SESSION_KEY = "endings"
STEP_SECONDS = 1.0
KEPT_AT_MOST = 5


@dataclass(frozen=True, slots=True)
class Job:
    """`frozen` names the list of those that were shown: nobody else is meant.

    `batches` is how many of its batches have had their turn. `is_lost`: the store has
    the list no more, and the rest is left alone.
    """

    id: str
    query: str
    frozen: str
    besides: str
    reason: str
    total: int
    batches: int = 0
    ended: int = 0
    gone: int = 0
    pending: bool = False
    durable: bool = True
    acknowledged: bool | None = None
    is_lost: bool = False
    is_done: bool = False

    @classmethod
    def begin(cls, request: HttpRequest, query: str, **what: Any) -> Self:
        """A job that has done nothing yet, remembered in this session."""
        job = cls(id=secrets.token_hex(6), query=query, **what)
        job.remember(request)
        return job

    @classmethod
    def all(cls, request: HttpRequest) -> list[Self]:
        """What this session has begun and not finished."""
        return [cls(**each) for each in _jobs(request).values()]

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

    def more(self) -> int:
        """How many match now and were not shown. Raises SessionStoreError."""
        target = Target.of(QueryDict(self.query))
        if target is None:
            return 0
        left = replace(target.selection, besides=self.besides)
        return live.select(left, size=1).total

    @property
    def filters(self) -> str:
        """The address of the list that shows what is left."""
        return FilterForm(QueryDict(self.query)).query

    def step(self, by: str) -> Self:
        """Ends as many as fit into STEP_SECONDS, one batch at least.

        Raises SessionStoreError when that could not be done.
        """
        until, job = time.monotonic() + STEP_SECONDS, self._batch(by)
        while not job.is_done and time.monotonic() < until:
            try:
                job = job._batch(by)
            except SessionStoreError:
                break
        return job

    def _batch(self, by: str) -> Self:
        try:
            shown = frozen.read(self.frozen, self.batches)
        except frozen.ListLost:
            return replace(self, is_lost=True, is_done=True)
        ids = [each for each in shown if each != self.besides]
        return self._with(live.end(ids, by=by, reason=self.reason))

    def _with(self, outcome: Outcome) -> Self:
        acknowledged = outcome.acknowledged
        if acknowledged is None or self.acknowledged is False:
            acknowledged = self.acknowledged
        batches = self.batches + 1
        return replace(
            self,
            batches=batches,
            ended=self.ended + len(outcome.ended),
            gone=self.gone + len(outcome.already_gone),
            pending=self.pending or outcome.pending,
            durable=self.durable and outcome.durable,
            acknowledged=acknowledged,
            is_done=batches >= frozen.batch_count(self.total),
        )


def _jobs(request: HttpRequest) -> dict[str, Any]:
    return dict(request.session.get(SESSION_KEY, {}))
