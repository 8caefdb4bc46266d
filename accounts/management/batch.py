from __future__ import annotations

from typing import Any


class Batch:
    """To `index.enter` a client; its pipelines wait and go out together."""

    def __init__(self, store: Any) -> None:
        self.waiting = store.pipeline(transaction=False)
        self.tickets: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.waiting, name)

    def pipeline(self, transaction: bool = False) -> Batch:
        return self

    def echo(self, ticket: bytes) -> None:
        # What the engine knows its answers by; nobody answers yet.
        self.tickets = [ticket]

    def execute(self) -> list[Any]:
        return self.tickets

    def send(self) -> None:
        self.waiting.execute()
