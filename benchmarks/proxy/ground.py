"""What every subject stands on: a store, a provider, an upstream, and the site."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from backoffice.demo.children import Child, wait_until
from backoffice.demo.loopback import LoopbackServer
from backoffice.demo.messages import Request, Response, json_response
from backoffice.demo.ports import LOOPBACK, lasting_port, port_is_free
from backoffice.demo.provider import Provider
from backoffice.demo.staff import STAFF, DemoPerson
from backoffice.demo.store import EmbeddedStore
from benchmarks.proxy import parts
from benchmarks.proxy.site import Site

# As the site has them unless told otherwise (backoffice/server.py).
WORKERS, THREADS = 2, 16
JSON_BYTES = 1024
BULK_BYTES = 100 * 1024 * 1024
# An append-only file that is rewritten in the middle of a run takes one of the cores.
STORE_OPTIONS = ("--auto-aof-rewrite-percentage", "0")


class Ground:
    """Started with `with`; everything ends with it."""

    def __init__(self, folder: Path, staff: Sequence[DemoPerson] = STAFF) -> None:
        self.folder = folder
        # Servers that give up root must still find their files.
        folder.chmod(0o755)
        store_port = lasting_port()
        self.store = EmbeddedStore(
            self.new_folder("store"), port=store_port, extra=STORE_OPTIONS
        )
        self.provider = Provider(staff=staff)
        self.sink = LoopbackServer(_swallowed)
        self.upstream_port = lasting_port(avoid=frozenset({store_port}))
        self.json = json.dumps({"pad": "x" * (JSON_BYTES - 11)}).encode()
        self._closing = ExitStack()
        self._site: Site | None = None

    @property
    def upstream(self) -> str:
        return f"http://{LOOPBACK}:{self.upstream_port}"

    def new_folder(self, name: str) -> Path:
        path = self.folder / name
        path.mkdir(mode=0o755)
        return path

    def site(self) -> Site:
        """The site with somebody signed in; started when it is first asked for."""
        if self._site is None:
            self._site = Site(self.new_folder("site"), self._site_environment())
            self._closing.callback(self._site.stop)
            self._site.start(self.provider)
        return self._site

    def __enter__(self) -> Self:
        with self._closing:
            self._closing.enter_context(self.store)
            self._closing.enter_context(self.provider)
            self.sink.start()
            self._closing.callback(self.sink.stop)
            self._start_upstream()
            self._closing = self._closing.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.close()

    def _start_upstream(self) -> None:
        folder = self.new_folder("upstream")
        with (folder / "bulk").open("wb") as bulk:
            bulk.truncate(BULK_BYTES)
        config = folder / "nginx.conf"
        config.write_text(
            filled(
                Path(__file__).with_name("upstream.conf"),
                FOLDER=folder,
                PORT=self.upstream_port,
                JSON=self.json.decode(),
                USER=server_user("user {};"),
            )
        )
        nginx = str(parts.program("nginx"))
        command = [nginx, "-p", str(folder), "-c", str(config), "-e", "stderr"]
        child = Child("upstream", command, log=folder / "log")
        self._closing.callback(child.stop)
        wait_until(lambda: not port_is_free(self.upstream_port), 10)

    def _site_environment(self) -> dict[str, str]:
        return {
            "REDIS_URL": self.store.url,
            "OIDC_ISSUER": self.provider.issuer,
            "UPSTREAM": self.upstream,
            "SINK": self.sink.origin,
        }


def filled(template: Path, **values: Any) -> str:
    """The file's text with each @NAME@ replaced: braces and dollars mean something."""
    text = template.read_text(encoding="utf-8")
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    return text


def server_user(line: str) -> str:
    """A server's line that keeps its workers root where we are; "" where we are not."""
    return line.format("root") if os.geteuid() == 0 else ""


def _swallowed(request: Request) -> Response:
    return json_response({"bytes": request.body_size})
