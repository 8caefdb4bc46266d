from __future__ import annotations

from pathlib import Path

from benchmarks.proxy.ground import filled, server_user
from benchmarks.proxy.subjects.subject import Subject
from tests import nginx

CONFIG = Path(__file__).resolve().parent.parent / "door.conf"


class Door1(Subject):
    """The site itself, on the production server's own configuration."""

    name = "door1"
    title = "door 1, embedded"
    is_door = True

    def start(self) -> None:
        site = self.ground.site()
        self.port = site.port
        self.children = [site.server]
        self.cookie, self.dead_cookie = site.cookie, site.dead_cookie

    def stop(self) -> None:
        """The site is stopped with the ground: other doors stand on it too."""


class _NginxDoor(Subject):
    """Debian's nginx with what `manage.py export_nginx` writes, as it is deployed."""

    is_door = True
    options: tuple[str, ...]

    @classmethod
    def missing(cls) -> str:
        found = nginx.find()
        return "" if found else f"apt-get install {' '.join(nginx.PACKAGES)}"

    def start(self) -> None:
        site, made = self.ground.site(), self.folder / "made"
        self.cookie, self.dead_cookie = site.cookie, site.dead_cookie
        where = f"127.0.0.1:{site.port}"
        site.manage("export_nginx", str(made), "--site", where, *self.options)
        config = self.folder / "nginx.conf"
        config.write_text(self._config(made))
        program, _ = nginx.find() or ("nginx", None)
        self.run([program, "-p", str(self.folder), "-c", str(config), "-e", "stderr"])

    def _config(self, made: Path) -> str:
        _, modules = nginx.find() or ("", Path())
        return filled(
            CONFIG,
            MODULES="\n".join(f"load_module {modules / m};" for m in nginx.MODULES),
            USER=server_user("user {};"),
            MADE=made,
            PORT=self.port,
        )


class Door2(_NginxDoor):
    """Its cost is nginx's and the site's, which is asked about each call."""

    name = "door2"
    title = "door 2, nginx asks the site in rounds"
    options: tuple[str, ...] = ("--door", "check")

    @property
    def pids(self) -> list[int]:
        return [*super().pids, self.ground.site().server.pid]


class Door2WithoutLua(Door2):
    """One question for each call, as all other servers ask."""

    name = "door2-plain"
    title = "door 2 without Lua, nginx asks /gate/check"
    # Only what a pass costs: its refusals are the same site's.
    is_door = False
    options = ("--door", "check", "--without-lua")


class Door3(_NginxDoor):
    name = "door3"
    title = "door 3, nginx asks the store itself"
    options = ("--door", "script")
