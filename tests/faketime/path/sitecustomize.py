"""Mends time.sleep: under libfaketime it fails with a monotonic clock that is real."""

from __future__ import annotations

import select
import time


def sleep(seconds: float) -> None:
    select.select([], [], [], seconds)


time.sleep = sleep
