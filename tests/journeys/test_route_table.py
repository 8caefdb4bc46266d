"""The route table of a running site: exchanged, broken, taken away under its calls."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.journeys.site import ROOT, SUPPORT, Browser, Site
from tests.journeys.test_workers import status_for, statuses, stopped, workers
from tests.waiting import wait_until

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="needs Linux's /proc"
)

BAD = '[[route]]\nname = "A"\nupsteam = "http://h"\n\n[[route]]\nname = "b"\n'


@pytest.fixture
def key(browser: Browser) -> str:
    browser.sign_in(SUPPORT)
    return str(browser.session_key)


@pytest.fixture
def file(site: Site) -> Iterator[Path]:
    path = site.folder / "routes.toml"
    text = path.read_text(encoding="utf-8")
    yield path
    put(path, text)


def put(path: Path, text: str) -> None:
    """As an operator should: the whole file at once, by moving it into place."""
    new = path.with_suffix(".new")
    new.write_text(text, encoding="utf-8")
    os.replace(new, path)


def of_each_worker(site: Site, key: str) -> set[int]:
    """What each process answers, the others being stopped."""
    found, pids = set(), workers(site)
    for pid in pids:
        with stopped(*set(pids) - {pid}):
            found.add(status_for(site, key))
    return found


def let_each_worker_start(site: Site) -> None:
    """Returns when each process has read the table, and no call has needed it yet."""
    pids = workers(site)
    for pid in pids:
        with stopped(*set(pids) - {pid}):
            assert site.browser().get("/livez").ok


def admitting(site: Site, group: str) -> str:
    return (
        f'[[route]]\nname = "echo"\nupstream = "{site.upstream.origin}/v1/echo"\n'
        f'groups = ["{group}"]\n'
    )


def test_a_site_with_a_bad_table_does_not_start(site: Site, tmp_path: Path) -> None:
    (tmp_path / "routes.toml").write_text(BAD, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "gunicorn", "-c", "backoffice/server.py"],
        cwd=ROOT,
        env={**site.environment, "ROUTES_FILE": str(tmp_path / "routes.toml")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    for problem in (
        "routes.toml:1: upstream: is missing",
        "routes.toml:2: name: must be",
        "routes.toml:3: upsteam: unknown key; did you mean upstream?",
        "routes.toml:5: upstream: is missing",
    ):
        assert problem in done.stderr


def test_a_table_that_turns_bad_before_the_first_call_is_not_taken(
    site: Site, file: Path, key: str
) -> None:
    before = workers(site)
    assert site.server
    os.kill(site.server.pid, signal.SIGHUP)
    assert wait_until(
        lambda: set(workers(site)).isdisjoint(before) and len(workers(site)) == 2
    )
    let_each_worker_start(site)
    put(file, BAD)
    assert of_each_worker(site, key) == {200}


def test_a_table_that_is_gone_is_still_in_force(
    site: Site, file: Path, key: str
) -> None:
    file.unlink()
    says = "routes.toml: [Errno 2] No such file"
    assert wait_until(lambda: status_for(site, key) and says in log(site))
    assert of_each_worker(site, key) == {200}


def test_tables_are_exchanged_under_calls(site: Site, file: Path, key: str) -> None:
    """Every call is judged by one table or the other, and in the end by the last."""
    with calling(site, key) as seen:
        for group in ("finance", "support") * 2:
            put(file, admitting(site, group))
            wanted = {200} if group == "support" else {403}
            assert wait_until(lambda: statuses(site, key) == wanted)  # noqa: B023
    assert set(seen) == {200, 403}
    assert wait_until(lambda: of_each_worker(site, key) == {200})


@contextmanager
def calling(site: Site, key: str) -> Iterator[list[int]]:
    """Calls all the while; gives the answers."""
    seen: list[int] = []
    done = threading.Event()

    def go_on() -> None:
        while not done.is_set():
            seen.append(status_for(site, key))

    threads = [threading.Thread(target=go_on) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        done.set()
        for thread in threads:
            thread.join()


def log(site: Site) -> str:
    return (site.folder / "site.log").read_text(encoding="utf-8")
