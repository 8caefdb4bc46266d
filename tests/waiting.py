"""How long a test waits for what must happen.

So long that no busy machine fails a test: only what never happens does. A test waits
for a condition, so none of this time is spent where all is well.
"""

from __future__ import annotations

from collections.abc import Callable

from backoffice.demo import children

WAIT_SECONDS = 90.0
# For a socket or a request of which the product may keep the test waiting a while.
IO_SECONDS = 60.0


def wait_until(condition: Callable[[], bool]) -> bool:
    """Whether the condition came true within WAIT_SECONDS."""
    return children.wait_until(condition, WAIT_SECONDS)
