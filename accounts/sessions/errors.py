"""
SessionStoreError
 ├── StoreUnavailable     no answer, a refusal or nonsense from the store
 └── StoreNotFenced       the store changed identity and the ledger cannot be read
ValueError
 └── TooLarge             a session that no record can hold
"""

from __future__ import annotations


class SessionStoreError(Exception):
    """The store cannot say whether a session is live. Never means "not live"."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class StoreUnavailable(SessionStoreError):
    """The store is unreachable, slow, refusing, full or answering nonsense."""


class StoreNotFenced(SessionStoreError):
    """The store restarted or failed over, and the ledger could not be replayed."""


class TooLarge(ValueError):
    """What is to be kept of a session is more than a record holds."""
