"""Sign-ins that were begun, and what keeps their number bounded.

Beginning one takes no password: anybody can do it a thousand times. Each leaves a
state and a nonce in SQL and a few hundred bytes in the browser's session, so what is
too old to be finished is removed as new ones are begun, with no command to run.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from django.conf import settings
from social_django.models import Association, Nonce

from accounts.sessions import clock

MAX_OF_ONE_BROWSER = 10
# A live session may hold little more than these beside what else is kept in it.
MAX_BYTES_OF_ONE_BROWSER = 6 * 1024
TIDY_SECONDS = 60

_tidied = float("-inf")


def tidy() -> None:
    """Removes what nobody can finish any more; at most once in TIDY_SECONDS.

    Raises django.db.DatabaseError.
    """
    global _tidied
    if clock.now() - _tidied < TIDY_SECONDS:
        return
    _tidied = clock.now()
    too_old = int(time.time()) - settings.SESSION_SIGN_IN_SECONDS
    Nonce.objects.filter(timestamp__lt=too_old).delete()
    Association.cleanup_expired()


def oldest_to_drop(begun: Mapping[str, int], sizes: Mapping[str, int]) -> list[str]:
    """The states that must go before this browser may begin one more.

    `begun` is when, in seconds; `sizes` what each takes in the session, in bytes.
    """
    by_age = sorted(begun, key=lambda state: begun[state])
    kept = sum(sizes.values())
    dropped = []
    for place, state in enumerate(by_age):
        is_many = len(by_age) - place >= MAX_OF_ONE_BROWSER
        if not is_many and kept <= MAX_BYTES_OF_ONE_BROWSER:
            break
        dropped.append(state)
        kept -= sizes[state]
    return dropped
