"""What the provider publishes, as one process remembers it.

Two threats pull in opposite directions. A key that the provider has withdrawn must
stop working here within a stated time, also when somebody keeps us from asking; and
nobody may use us to flood the provider, although anybody can hand us a token that
names a key we do not have.

So: a document is fresh for FRESH_SECONDS. After that it is asked for again, and while
that fails the old one is good for GRACE_SECONDS more and not a second longer; after a
failure it is not asked for again for RETRY_SECONDS. Out of turn it is fetched when
somebody names a key that is not in it, within the bounds of Renewals.
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
RETRY_SECONDS = 5
# Out of turn: once for each name in RENEW_SECONDS, and for all names together BURST
# times at once and then once in REFILL_SECONDS.
RENEW_SECONDS = 60
BURST = 3
REFILL_SECONDS = 20

Value = TypeVar("Value")
NEVER = float("-inf")


class Document(Generic[Value]):
    """One published document. `fetch` gives it anew or raises social-auth's errors."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._lock = threading.Lock()
        self._value: Value | None = None
        self._fetched = self._failed = NEVER
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

    def renew(self, fetch: Callable[[], Value]) -> Value:
        """The document as it is now, since what we have seems to be out of date.

        How often is for the caller to limit. Raises what `fetch` raised.
        """
        with self._lock:
            return self._keep(fetch)

    def settled(self) -> Value | None:
        """What we have, after whatever is being fetched has come; None for nothing."""
        with self._lock:
            return self._within(FRESH_SECONDS + GRACE_SECONDS)

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


class Renewals:
    """How often one document may be fetched out of turn.

    Each name has an attempt of its own, so that a name that somebody made up does not
    use up the attempt of a real one; all together are a token bucket, so that a
    thousand names cause a handful of requests. Only names that an attempt was made for
    are kept, so their number is bounded by the bucket.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left, self._filled = float(BURST), clock.now()
        self._attempts: dict[str | None, float] = {}

    def take(self, name: str | None) -> bool:
        """Whether the document may be fetched for this name now; then it must be."""
        with self._lock:
            self._refill(clock.now())
            if name in self._attempts or self._left < 1:
                return False
            self._left -= 1
            self._attempts[name] = self._filled
            return True

    def is_taken(self, name: str | None) -> bool:
        """Whether it was fetched for this name a moment ago, or is being fetched."""
        with self._lock:
            return name in self._attempts

    def _refill(self, now: float) -> None:
        gained = (now - self._filled) / REFILL_SECONDS
        self._left, self._filled = min(BURST, self._left + gained), now
        self._attempts = {
            name: since
            for name, since in self._attempts.items()
            if now - since < RENEW_SECONDS
        }


def _bare(error: SocialAuthBaseException) -> SocialAuthBaseException:
    """The same failure without the request in which it happened."""
    return type(error)(None, code=error.code, claim=error.claim, stage=error.stage)
