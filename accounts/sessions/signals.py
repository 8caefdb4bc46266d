from __future__ import annotations

from django.dispatch import Signal

# A live session was used, told at most once a minute for each; `record` is what is
# stored. Receivers run before the request goes on, so they must only take note.
touched = Signal()
