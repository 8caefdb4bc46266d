"""Installs packages for the tests where nobody need be asked: as root on Debian."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time

# Another apt-get, as that of unattended upgrades, may be at work for minutes.
LOCK_SECONDS = 600
RETRY_SECONDS = 5
# How apt-get says that another one holds the lists or the archives: for these two locks
# it does not wait, whatever it is told.
IS_LOCKED = "Could not get lock"


def install(*packages: str, recommended: bool = False) -> bool:
    """Whether apt-get installed these; starts no service. Says what went wrong."""
    if os.geteuid() != 0 or (apt := shutil.which("apt-get")) is None:
        return False
    program = [apt, "-qq", "-o", f"DPkg::Lock::Timeout={LOCK_SECONDS}"]
    # Where the lists cannot be fetched, those of last time may do.
    _run([*program, "update"])
    extent = [] if recommended else ["--no-install-recommends"]
    return _run([*program, "install", "-y", *extent, *packages])


def _run(command: list[str]) -> bool:
    """Runs apt-get, again while another one is at work; whether it succeeded."""
    environment = {
        **os.environ,
        "DEBIAN_FRONTEND": "noninteractive",
        "LC_ALL": "C.UTF-8",
        # invoke-rc.d asks policy-rc.d; without it the package starts a server at once.
        "RUNLEVEL": "1",
    }
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        done = subprocess.run(
            command,
            check=False,
            env=environment,
            stdout=sys.stderr,
            stderr=subprocess.PIPE,
            text=True,
        )
        if done.returncode == 0:
            return True
        if IS_LOCKED not in done.stderr or time.monotonic() > deadline:
            break
        time.sleep(RETRY_SECONDS)
    what = f"`{' '.join(command)}` failed with exit status {done.returncode}:"
    sys.stderr.write(f"{what}\n{done.stderr}")
    return False
