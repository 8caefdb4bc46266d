from __future__ import annotations

import sys

from tests import apt
from tests.faketime import HOW_TO_GET_IT, PACKAGE, find


def main() -> int:
    if find() is None and not apt.install(PACKAGE):
        sys.stderr.write(HOW_TO_GET_IT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
