"""What commands write, and where: results, and log lines only for whom they are."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from django.core.management.base import OutputWrapper

LOG_LINES_FROM = 2


@contextmanager
def reader_may_leave(results: OutputWrapper) -> Iterator[None]:
    """Stops writing without an error when the reader has enough, as `head` does."""
    try:
        yield
        # Now and not when Python ends, where nobody could catch it.
        results.flush()
    except BrokenPipeError:
        # What is left in the buffer is flushed at the end, and must go somewhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def log_lines(verbosity: int) -> Iterator[None]:
    """Lets lines below a warning through from `--verbosity 2` on.

    A command that ends thousands of sessions logs thousands of lines: good for a log,
    and in the way of a person or of the mail that cron sends.
    """
    if verbosity >= LOG_LINES_FROM:
        yield
        return
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
