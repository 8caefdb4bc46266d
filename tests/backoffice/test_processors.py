from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from backoffice import processors
from backoffice.demo.children import Child
from backoffice.demo.ports import port_is_free
from tests.journeys.site import ROOT
from tests.ports import reserved_port
from tests.waiting import wait_until

APPLICATION = """
def application(environment, start):
    start("200 OK", [("Content-Length", "0")])
    return []
"""
on_linux = pytest.mark.skipif(not processors.allowed(), reason="Linux alone has these")


@pytest.mark.parametrize(
    ("places", "taken", "count", "chosen"),
    [
        ([0, 1], [], 2, 0),
        ([0, 1], [0], 2, 1),
        # One ended, and it was not the last that came.
        ([4, 7], [7], 2, 4),
        # A reload starts the new ones before the old ones end.
        ([0, 1], [0, 1], 2, 0),
        ([0, 1], [0, 1, 0], 2, 1),
        ([0, 1], [0, 1, 0], 4, 1),
        # Some processors would have more to do than others.
        ([0, 1], [], 3, None),
        ([0, 1, 2, 3], [None], 2, None),
        ([], [], 2, None),
    ],
)
def test_each_process_has_the_processor_that_fewest_have(
    places: list[int], taken: list[int | None], count: int, chosen: int | None
) -> None:
    assert processors.choose(places, taken, count) == chosen


@contextmanager
def serving(folder: Path, workers: int) -> Iterator[Child]:
    (folder / "empty.py").write_text(APPLICATION, encoding="utf-8")
    port = reserved_port()
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "-c",
        str(ROOT / "backoffice/server.py"),
    ]
    command += ["-b", f"127.0.0.1:{port}", "--pythonpath", f"{ROOT},{folder}", "empty"]
    environment = {**os.environ, "WEB_WORKERS": str(workers)}
    server = Child(
        "server", command, log=folder / "log", folder=ROOT, environment=environment
    )
    try:
        wait_until(lambda: not port_is_free(port) or not server.is_alive())
        assert server.is_alive(), server.last_lines()
        yield server
    finally:
        server.stop()


def children_of(server: Child) -> list[int]:
    listed = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text()
    return [int(pid) for pid in listed.split()]


def places_of(server: Child, count: int) -> list[set[int]]:
    """Where its processes may run, once there are so many and all have settled."""

    def settled() -> bool:
        pids = children_of(server)
        return len(pids) == count and all(
            os.sched_getscheduler(pid) == os.SCHED_BATCH for pid in pids
        )

    assert wait_until(settled), server.last_lines()
    return sorted((os.sched_getaffinity(pid) for pid in children_of(server)), key=min)


@on_linux
def test_processes_have_a_processor_each_and_so_has_one_that_is_replaced(
    tmp_path: Path,
) -> None:
    places = processors.allowed()
    with serving(tmp_path, len(places)) as server:
        each = [{place} for place in places]
        assert places_of(server, len(places)) == each
        gone = children_of(server)[0]
        os.kill(gone, signal.SIGKILL)
        wait_until(lambda: gone not in children_of(server))
        assert places_of(server, len(places)) == each


@on_linux
def test_more_processes_than_fit_evenly_go_where_the_system_puts_them(
    tmp_path: Path,
) -> None:
    places = processors.allowed()
    count = len(places) + 1 if len(places) > 1 else 1
    with serving(tmp_path, count) as server:
        assert places_of(server, count) == [set(places)] * count


@on_linux
def test_a_system_that_does_not_let_us_stops_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refused)
    monkeypatch.setattr(os, "sched_setaffinity", refused)
    processors.keep_to(processors.allowed()[0])
