"""Measures the session engine on a real Valkey: `python -m benchmarks.sessions`.

Importing the package sets Django up, because the processes that a benchmark starts
import its modules before they run a line of ours.
"""

from __future__ import annotations

import logging
import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
django.setup()
# Every kill writes a log line; a terminal or a file behind it would be measured too.
logging.disable(logging.WARNING)
