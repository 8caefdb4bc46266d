"""Finds libfaketime, with which the clock of a program is another one than the host's.

`python -m tests.faketime` gets it where that needs nobody's leave.
"""

from __future__ import annotations

from pathlib import Path

PACKAGE = "libfaketime"
FOLDERS = (Path("/usr/lib"), Path("/usr/lib64"))
HOW_TO_GET_IT = (
    "Hosts with clocks of their own were not tested: no libfaketime was found. On "
    f"Debian:\n  apt-get install {PACKAGE}\n"
)


def find() -> Path | None:
    """The library for programs with threads; None when it is absent."""
    for folder in FOLDERS:
        for found in folder.glob("**/libfaketimeMT.so.1"):
            return found
    return None


def environment(seconds: float) -> dict[str, str]:
    """What makes the clock of a program ahead by so much, and of those it starts.

    The monotonic clock is that of the machine, as it is on a host whose clock is wrong.
    """
    return {
        "LD_PRELOAD": str(find()),
        "FAKETIME": f"{seconds:+}s",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
        "PYTHONPATH": str(Path(__file__).parent / "path"),
    }
