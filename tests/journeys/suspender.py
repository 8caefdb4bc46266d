"""A process that suspends whom standard input names, as the command does.

One line in, a `sub` at the first provider; one line out when that is reported done.
"""

from __future__ import annotations

import sys

import django

django.setup()

from django.conf import settings  # noqa: E402

from accounts.sso import suspending  # noqa: E402
from accounts.suspension import Person  # noqa: E402


def main() -> None:
    for line in sys.stdin:
        person = Person(settings.PROVIDERS[0].issuer, line.strip())
        outcome = suspending.suspend(person, by="test", reason="race")
        is_done = outcome.durable and not (outcome.pending or outcome.incomplete)
        sys.stdout.write("done\n" if is_done else f"not done: {outcome}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
