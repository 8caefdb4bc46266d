"""D1, W2: the disk takes no more. Who is signed in goes on, and a kill still kills."""

from __future__ import annotations

import resource
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.journeys.site import ADMIN, FINANCE, SUPPORT, Browser, Site, running_site
from tests.journeys.test_first_light import end_sessions, own_session_id
from tests.journeys.test_workers import workers

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="needs /dev/full and prlimit"
)

GATED = "/api/proxy/echo/"


@contextmanager
def full_disk(site: Site) -> Iterator[None]:
    """No process of the site can write a byte to any file: not to SQL, not to a log.

    Somebody else reads from the database all the while, as on a busy site: SQLite can
    open it only where the files beside it are there or can be made.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    pids = workers(site)
    for pid in pids:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
    try:
        with closing(sqlite3.connect(site.folder / "db.sqlite3")) as somebody:
            somebody.execute("SELECT count(*) FROM accounts_user").fetchall()
            yield
    finally:
        for pid in pids:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))


@pytest.fixture
def desk(another_browser: Browser) -> Browser:
    another_browser.sign_in(ADMIN)
    return another_browser


def test_full_disk_keeps_who_is_signed_in_and_lets_nobody_else_in(
    site: Site, browser: Browser
) -> None:
    """D1."""
    browser.sign_in(SUPPORT)
    with full_disk(site):
        assert browser.call(GATED).status_code == 200
        assert browser.get("/").status_code == 200
        newcomer = site.browser()
        assert newcomer.sign_in(FINANCE).status_code == 503
        assert newcomer.call(GATED).status_code == 401
    newcomer = site.browser()
    assert newcomer.sign_in(SUPPORT).status_code == 200


def test_full_disk_kill_is_done_told_and_recorded_afterwards(
    site: Site, browser: Browser, desk: Browser
) -> None:
    """D1, W2: never without an entry in the audit, however late."""
    browser.sign_in(FINANCE)
    victim = own_session_id(browser)
    with full_disk(site):
        told = end_sessions(desk, victim)
        assert "1 session ended." in told
        assert "not yet durable" in told
        assert browser.call(GATED).status_code == 401
    assert entries(site, victim) == []
    site.manage("purge_sessions")
    assert entries(site, victim) == [("stolen laptop",)]
    ledger = "SELECT reason FROM accounts_revocation WHERE target = ?"
    assert site.rows(ledger, victim) == [("stolen laptop",)]


def entries(site: Site, session_id: str) -> list[tuple[str]]:
    return site.rows(
        "SELECT reason FROM accounts_auditentry"
        " WHERE event = 'session:killed' AND session_id = ?",
        session_id,
    )


def test_log_that_takes_no_line_stops_nothing_and_no_entry_is_missing(
    tmp_path: Path,
) -> None:
    """W2: the log may be lost, the audit may not."""
    (tmp_path / "site.log").symlink_to("/dev/full")
    with running_site(tmp_path) as site:
        person, desk = site.browser(), site.browser()
        assert person.sign_in(SUPPORT).status_code == 200
        desk.sign_in(ADMIN)
        victim = own_session_id(person)
        assert person.call("/api/proxy/reports/x").status_code == 403
        assert "1 session ended." in end_sessions(desk, victim)
        assert person.call(GATED).status_code == 401
        assert desk.call(GATED).status_code == 200
        assert entries(site, victim) == [("stolen laptop",)]
