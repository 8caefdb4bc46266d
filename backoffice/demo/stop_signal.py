from __future__ import annotations

import signal
import time
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LOOK_SECONDS = 0.1


class StopSignal:
    """Notes that someone asked us to stop, so that it can be done in good order.

    A flag, and no exception: a signal may come at any line, also between starting a
    child and writing down that it was started.
    """

    def __init__(self) -> None:
        """Take over the signals; those our caller told us to ignore stay ignored."""
        self.came = False
        for each in SIGNALS:
            # A shell starts background jobs with SIGINT ignored; still, whoever sends
            # one by hand means it. nohup's SIGHUP is another matter.
            if each is signal.SIGHUP and signal.getsignal(each) is signal.SIG_IGN:
                continue
            signal.signal(each, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.came = True

    def wait(self) -> None:
        while not self.came:
            time.sleep(LOOK_SECONDS)
