"""How commands behave at a terminal, in a pipe and for a timer."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path

import pytest
import redis
from django.core.management.base import OutputWrapper

from accounts.audit import Event, record
from accounts.management.progress import Progress
from backoffice.demo.store import EmbeddedStore
from tests.accounts.commands.test_audit_commands import run
from tests.accounts.commands.test_ending_selected import ROOT, begin
from tests.conftest import Travel

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

WAITED_AT_MOST = 60


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_bar_at_a_terminal_stays_on_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    terminal = Terminal()
    beside = OutputWrapper(terminal)
    beside.style_func = lambda text: f"<red>{text}</red>"
    until = time.monotonic() + WAITED_AT_MOST
    with Progress(beside, "ended", 1000) as progress:
        for number in range(1, 6):
            # The bar redraws itself ten times a second.
            progress.reach(number)
            while f"{number}/1000" not in terminal.getvalue():
                assert time.monotonic() < until
                time.sleep(0.01)
        running = terminal.getvalue()
    assert "\n" not in running
    assert "<red>" not in terminal.getvalue()


def test_no_bar_elsewhere() -> None:
    stream = StringIO()
    with Progress(OutputWrapper(stream), "ended", 10) as progress:
        progress.reach(5)
    assert stream.getvalue() == ""


@pytest.mark.parametrize("command", ["list_sessions", "export_audit"])
def test_reader_who_has_enough_is_no_failure(
    command: str, tmp_path: Path, store_server: EmbeddedStore
) -> None:
    begin()
    env = os.environ | {
        "DATABASE_URL": f"sqlite:///{tmp_path / 'own.sqlite3'}",
        "REDIS_URL": store_server.url,
        "DJANGO_SETTINGS_MODULE": "backoffice.settings",
    }
    manage = [sys.executable, "manage.py"]
    subprocess.run([*manage, "migrate", "-v0"], cwd=ROOT, env=env, check=True)
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*manage, command],
        cwd=ROOT,
        env=env,
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)
    assert done.returncode == 0, done.stderr
    assert "BrokenPipeError" not in done.stderr


def test_no_session_is_told_as_none() -> None:
    code, out, beside = run("list_sessions")
    assert (code, beside) == (0, "0 live sessions.\n")
    assert out.split("\t")[0] == "session"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("verbosity", "is_told"), [(None, False), ("1", False), ("2", True)]
)
def test_log_lines_come_when_they_are_asked_for(
    travel: Travel,
    caplog: pytest.LogCaptureFixture,
    store: redis.Redis,
    verbosity: str | None,
    is_told: bool,
) -> None:
    caplog.set_level(logging.INFO, logger="audit")
    session = begin()
    record(Event.SIGNED_IN, session_id=session.session_id)
    travel.shift(24 * 3600)
    # As the store itself does, whose clock is not moved.
    store.flushall()
    caplog.clear()
    chosen = ["--verbosity", verbosity] if verbosity else []
    assert run("purge_sessions", *chosen)[0] == 0
    told = [line for line in caplog.messages if "session:expired" in line]
    assert bool(told) == is_told
    logging.getLogger("audit").info("afterwards")
    assert "afterwards" in caplog.messages
