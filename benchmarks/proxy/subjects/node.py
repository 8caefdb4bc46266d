from __future__ import annotations

import shutil

from benchmarks.proxy import parts
from benchmarks.proxy.subjects.subject import SelfMade


class _Node(SelfMade):
    program: str

    @classmethod
    def missing(cls) -> str:
        return parts.missing_node()

    def start(self) -> None:
        script = str(parts.PEERS / self.program)
        store, upstream = str(self.ground.store.port), self.ground.upstream
        node = str(shutil.which("node"))
        self.run([node, script, str(self.port), store, upstream])
        self.sign_in()


class H3(_Node):
    name = "h3"
    title = "h3 + ioredis, its own proxyRequest"
    program = "h3_gate.mjs"


class H3OnUndici(_Node):
    name = "h3-undici"
    title = "h3 + ioredis, forwarding by hand on undici"
    program = "h3_undici_gate.mjs"


class Express(_Node):
    name = "express"
    title = "Express + express-session + connect-redis + http-proxy-middleware"
    program = "express_gate.mjs"
