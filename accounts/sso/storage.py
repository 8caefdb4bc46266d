from __future__ import annotations

from social_core.storage import NonceMixin
from social_django.models import DjangoStorage

from accounts.sso import pending


class UsedStates(NonceMixin):
    """In place of social-auth's table of states.

    It enters each state when a sign-in starts and removes it when it is used, and
    anybody can start as many as they like. Here nothing is kept until a state is used.
    """

    @classmethod
    def use(cls, server_url: str, timestamp: int, salt: str) -> bool:
        """Nothing; the browser keeps the state."""
        return True

    @classmethod
    def consume(cls, server_url: str, timestamp: int, salt: str) -> bool:
        """Whether this state is used for the first time. Raises StoreUnavailable."""
        return pending.use_state(salt)


class SiteStorage(DjangoStorage):
    """social-auth's tables: the accounts, and no states."""

    nonce = UsedStates  # type: ignore[assignment]
