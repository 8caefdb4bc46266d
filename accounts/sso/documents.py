"""What the provider publishes, as one process remembers it.

Two threats pull in opposite directions. A key that the provider has withdrawn must
stop working here within a stated time, also when somebody keeps us from asking; and
nobody may use us to flood the provider, although anybody can hand us a token that
names a key we do not have.

So: a document is fresh for FRESH_SECONDS. After that it is asked for again, and while
that fails the old one is good for GRACE_SECONDS more and not a second longer. Out of
turn it is asked for at most once in RENEW_SECONDS, and after a failure not again for
RETRY_SECONDS.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from social_core.exceptions import SocialAuthBaseException

from accounts.sessions import clock

log = logging.getLogger(__name__)

FRESH_SECONDS = 3600
GRACE_SECONDS = 3600
RENEW_SECONDS = 60
RETRY_SECONDS = 5

Value = TypeVar("Value")
NEVER = float("-inf")


class Document(Generic[Value]):
    """One published document. `fetch` gives it anew or raises social-auth's errors."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._lock = threading.Lock()
        self._value: Value | None = None
        self._fetched = self._failed = self._renewed = NEVER
        self._failure: SocialAuthBaseException | None = None

    def get(self, fetch: Callable[[], Value]) -> Value:
        """The document, fetched if need be. Raises what `fetch` raised."""
        if (value := self._within(FRESH_SECONDS)) is not None:
            return value
        old = self._within(FRESH_SECONDS + GRACE_SECONDS)
        # One thread asks; the others wait for it only if they have nothing to go by.
        if not self._lock.acquire(blocking=old is None):
            return old  # type: ignore[return-value]
        try:
            return self._value_or_failure(fetch, old)
        finally:
            self._lock.release()

    def renew(self, fetch: Callable[[], Value]) -> Value | None:
        """The document as it is now, since what we have seems to be out of date.

        None when it was renewed less than RENEW_SECONDS ago. Raises what `fetch`
        raised.
        """
        with self._lock:
            now = clock.now()
            if now - self._renewed < RENEW_SECONDS:
                return None
            self._renewed = now
            return self._keep(fetch)

    def _value_or_failure(self, fetch: Callable[[], Value], old: Value | None) -> Value:
        if (value := self._within(FRESH_SECONDS)) is not None:
            return value
        if self._failure is not None and clock.now() - self._failed < RETRY_SECONDS:
            return self._old_or_raise(old, self._failure)
        try:
            return self._keep(fetch)
        except SocialAuthBaseException as error:
            self._failed, self._failure = clock.now(), _bare(error)
            log.warning("not_fetched document=%s code=%s", self.name, error.code)
            return self._old_or_raise(old, error)

    def _keep(self, fetch: Callable[[], Value]) -> Value:
        self._value = fetch()
        self._fetched, self._failure = clock.now(), None
        return self._value

    def _old_or_raise(self, old: Value | None, error: SocialAuthBaseException) -> Value:
        if old is not None:
            return old
        raise _bare(error) from None

    def _within(self, seconds: float) -> Value | None:
        is_in_time = clock.now() - self._fetched < seconds
        return self._value if is_in_time else None


def _bare(error: SocialAuthBaseException) -> SocialAuthBaseException:
    """The same failure without the request in which it happened."""
    return type(error)(None, code=error.code, claim=error.claim, stage=error.stage)
