from __future__ import annotations

import sys

from benchmarks.proxy import parts
from benchmarks.proxy.ground import THREADS, WORKERS
from benchmarks.proxy.subjects.subject import SelfMade


class StockDjango(SelfMade):
    name = "django"
    title = "Django, stock cache sessions, a shared requests.Session"

    def start(self) -> None:
        server = [sys.executable, "-m", "gunicorn", "--no-control-socket"]
        shape = ["-k", "gthread", f"--workers={WORKERS}", f"--threads={THREADS}"]
        place = ["--bind", f"127.0.0.1:{self.port}", "--keep-alive=5"]
        settings = {"STORE": self.ground.store.url, "UPSTREAM": self.ground.upstream}
        self.run([*server, *shape, *place, "django_gate"], settings, parts.PEERS)
        self.sign_in()
