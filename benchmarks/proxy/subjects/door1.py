from __future__ import annotations

from benchmarks.proxy.subjects.subject import Subject


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
