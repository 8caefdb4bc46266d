from __future__ import annotations

from dataclasses import dataclass, field

from accounts.sessions.record import Record


@dataclass(slots=True)
class Outcome:
    """What a kill did.

    `pending`: the store was away; the kill is in the ledger and takes effect within 2
    seconds of some site process reaching SQL and the store.
    `durable`: it is in the ledger.
    `acknowledged`: a replica has it too; None when the store has no replica.
    `incomplete`: stopped before everything that was meant had its turn. `records`: the
    contents of what this one kill ended; `add` does not collect them.
    """

    ended: list[str] = field(default_factory=list)
    already_gone: list[str] = field(default_factory=list)
    pending: bool = False
    durable: bool = True
    acknowledged: bool | None = None
    incomplete: bool = False
    records: list[Record] = field(default_factory=list, repr=False)

    def add(self, other: Outcome) -> None:
        """Takes in what one more batch did."""
        self.ended += other.ended
        self.already_gone += other.already_gone
        self.pending = self.pending or other.pending
        self.durable = self.durable and other.durable
        if other.acknowledged is not None:
            self.acknowledged = self.acknowledged is not False and other.acknowledged
