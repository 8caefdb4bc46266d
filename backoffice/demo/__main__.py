from __future__ import annotations

import sys

from backoffice.demo.runner import run

if __name__ == "__main__":
    sys.exit(run())
