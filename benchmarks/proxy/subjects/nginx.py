from __future__ import annotations

from urllib.parse import urlsplit

from benchmarks.proxy import parts
from benchmarks.proxy.ground import filled, server_user
from benchmarks.proxy.subjects.subject import Subject


class PlainNginx(Subject):
    name = "nginx"
    title = "nginx, no check at all"
    refuses = False

    @classmethod
    def missing(cls) -> str:
        return parts.missing("nginx")

    def start(self) -> None:
        config = self.folder / "nginx.conf"
        config.write_text(
            filled(
                parts.PEERS / "nginx.conf",
                PORT=self.port,
                UPSTREAM=urlsplit(self.ground.upstream).netloc,
                USER=server_user("user {};"),
            )
        )
        nginx = str(parts.program("nginx"))
        self.run([nginx, "-p", str(self.folder), "-c", str(config), "-e", "stderr"])
