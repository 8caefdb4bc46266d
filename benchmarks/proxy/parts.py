"""The programs a run needs that are not Python: whether they are here, and how to get.

`python -m benchmarks.proxy.parts` gets what needs nobody's leave: Debian packages where
we are root, the Node peers' packages where there is npm. It never fails; a part that is
missing then leaves its subject out, and the report says so.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests import apt, nginx

PEERS = Path(__file__).resolve().parent.parent / "peers"
APACHE_MODULES = Path("/usr/lib/apache2/modules")
NODE_AT_LEAST = (20, 19)

# What proves that a package is here, and the package.
PACKAGES = {
    "wrk": "wrk",
    "nginx": "nginx",
    "apache2": "apache2",
    f"{APACHE_MODULES}/mod_auth_openidc.so": "libapache2-mod-auth-openidc",
}


def program(name: str) -> str | None:
    """Its path; also where servers are that only root has on the PATH."""
    path = os.environ.get("PATH", os.defpath)
    return shutil.which(name, path=f"{path}:/usr/local/sbin:/usr/sbin")


def missing(*needed: str) -> str:
    """How to get those keys of PACKAGES that are not here; "" when all are."""
    absent = [PACKAGES[each] for each in needed if not _is_here(each)]
    return f"apt-get install {' '.join(absent)}" if absent else ""


def missing_node() -> str:
    """Why the Node peers cannot run, as a sentence; "" when they can."""
    wanted = ".".join(map(str, NODE_AT_LEAST))
    if _node_version() < NODE_AT_LEAST:
        return f"needs Node {wanted} or newer, with npm"
    if not (PEERS / "node_modules" / "h3").is_dir():
        return "its packages are not installed: make bench-proxy does that"
    return ""


def obtain() -> None:
    """Gets what is missing, as far as that can be done here and now."""
    if nginx.find() is None:
        apt.install(*nginx.PACKAGES)
    absent = [package for part, package in PACKAGES.items() if not _is_here(part)]
    # One by one: that one has no candidate must not cost the others.
    for package in absent:
        apt.install(package)
    if _node_version() >= NODE_AT_LEAST and (npm := shutil.which("npm")):
        _install_peers(npm)


def _is_here(part: str) -> bool:
    return Path(part).exists() if part.startswith("/") else program(part) is not None


def _install_peers(npm: str) -> None:
    lock = PEERS / "package-lock.json"
    done = PEERS / "node_modules" / ".package-lock.json"
    if done.exists() and done.stat().st_mtime >= lock.stat().st_mtime:
        return
    quiet = ("--no-audit", "--no-fund", "--loglevel", "error")
    _run(npm, "ci", "--prefix", str(PEERS), "--ignore-scripts", *quiet)


def _node_version() -> tuple[int, ...]:
    node = shutil.which("node")
    if node is None:
        return ()
    answer = subprocess.run(
        [node, "--version"], capture_output=True, text=True, check=False
    )
    return tuple(int(number) for number in re.findall(r"\d+", answer.stdout)[:2])


def _run(*command: str) -> None:
    # A benchmark was asked for, so a package is told not to start its service.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    subprocess.run(command, check=False, env=environment, stdout=sys.stderr)


if __name__ == "__main__":
    obtain()
