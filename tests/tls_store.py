"""Finds a Redis or Valkey server that speaks TLS, which the embedded one does not.

`python -m tests.tls_store` gets Debian's where that needs nobody's leave.
"""

from __future__ import annotations

import shutil
import subprocess
import sys

from tests import apt

HOW_TO_GET_IT = (
    "TLS to the store was not tested: no Redis or Valkey with TLS was found. On Debian:"
    "\n  apt-get install redis-server\n"
)


def find() -> str | None:
    """A server program that is linked with OpenSSL; None when there is none."""
    for name in ("valkey-server", "redis-server"):
        program = shutil.which(name)
        if program and "libssl" in _linked_with(program):
            return program
    return None


def _linked_with(program: str) -> str:
    if not (ldd := shutil.which("ldd")):
        return ""
    done = subprocess.run([ldd, program], check=False, capture_output=True, text=True)
    return done.stdout


def main() -> int:
    if find() is None:
        apt.install("redis-server")
    if find() is None:
        sys.stderr.write(HOW_TO_GET_IT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
