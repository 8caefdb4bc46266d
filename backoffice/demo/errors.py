from __future__ import annotations

# DemoError            what `make demo` shows as one line instead of a traceback
# └── StoreError       the embedded store cannot be had, started or adopted


class DemoError(Exception):
    """Something the person at the terminal can put right; the text says how."""


class StoreError(DemoError):
    """The embedded store could not be found, started or adopted."""
