"""Ends the live sessions that a command means, and tells exactly what became of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from accounts import audit
from accounts.management.exit_codes import ExitCode
from accounts.management.selection_arguments import Chosen
from accounts.sessions import live
from accounts.sessions.errors import SessionStoreError
from accounts.sessions.outcome import Outcome
from accounts.sessions.selection import Selection

BY = "purge_sessions"
BROAD = 50


@dataclass(frozen=True, slots=True)
class Result:
    """`ended`: how many; of a cut-off the outcome names none."""

    ended: int
    outcome: Outcome

    @property
    def exit_code(self) -> ExitCode:
        outcome = self.outcome
        if outcome.pending and not self.ended:
            return ExitCode.PENDING
        if outcome.pending or outcome.incomplete or not outcome.durable:
            return ExitCode.DONE_IN_PART
        return ExitCode.DONE


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be ended: everyone by a cut-off, or those chosen.

    `ids`: the very sessions that were counted, where it is filters that mean them.
    """

    chosen: Chosen
    is_everyone: bool
    reason: str
    ids: Sequence[str] | None = None

    def counted(self) -> Self:
        """The same, of exactly those sessions that it means now.

        Raises SessionStoreError.
        """
        if self.is_everyone or self.is_whole:
            return self
        return replace(self, ids=live.matching(self.chosen.selection))

    def matched(self) -> int:
        """How many live sessions it means. Raises SessionStoreError."""
        if self.ids is not None:
            return len(self.ids)
        if self.is_everyone:
            return live.count()
        return live.select(self.chosen.selection, size=1).total

    def more(self) -> int | None:
        """How many match now and were not counted; None where nothing was counted.

        Raises SessionStoreError.
        """
        if self.ids is None:
            return None
        return live.select(self.chosen.selection, size=1).total

    @property
    def is_whole(self) -> bool:
        """Whether it means one session, or a person whole, with no other filter."""
        wanted = self.chosen.selection
        return wanted in (
            Selection(session=wanted.session),
            Selection(person=wanted.person),
        )

    @property
    def is_recordable(self) -> bool:
        """Whether the ledger alone can take it, while the store is away."""
        return self.is_everyone or self.is_whole

    def is_broad(self, matched: int | None) -> bool:
        """Whether it takes a yes."""
        return self.is_everyone or (matched or 0) > BROAD

    def carry_out(
        self, progress: Callable[[int], None], should_stop: Callable[[], bool]
    ) -> Result:
        """Ends them. Raises SessionStoreError when nothing was ended or recorded.

        Of one session, one person or everyone the kill is recorded while the store is
        away; whom other filters mean nobody can tell then.
        """
        named: dict[str, Any] = {"by": BY, "reason": self.reason}
        selection = self.chosen.selection
        if self.is_everyone:
            return _end_everyone(**named)
        if selection == Selection(session=selection.session):
            outcome = live.end([selection.session], **named)
        elif selection == Selection(person=selection.person):
            outcome = _end_people(selection.person or (), **named)
        else:
            self._record()
            named |= {"progress": progress, "should_stop": should_stop}
            # Without SQL nobody can count beforehand; then whoever matches now.
            outcome = (
                live.end_selected(selection, **named)
                if self.ids is None
                else live.end_each(self.ids, **named)
            )
        return Result(len(outcome.ended), outcome)

    def _record(self) -> None:
        details = {"filter": self.chosen.words}
        audit.record(
            audit.Event.BULK_KILLED, actor=BY, reason=self.reason, details=details
        )


def _end_everyone(**named: Any) -> Result:
    outcome, ended = live.end_everyone(**named), 0
    if not outcome.pending:
        # From the mark on they are dead. The rest is tidying, and tells how many.
        try:
            ended = live.clear_up()
        except SessionStoreError:
            outcome.incomplete = True
    return Result(ended, outcome)


def _end_people(people: tuple[tuple[str, str], ...], **named: Any) -> Outcome:
    outcome = Outcome()
    for issuer, sub in people:
        outcome.add(live.end_subject(issuer, sub, **named))
    return outcome
