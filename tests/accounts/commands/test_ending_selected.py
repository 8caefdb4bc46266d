from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from pytest_django.fixtures import Settings

from accounts import keys
from accounts.management import crowd
from accounts.management.commands.purge_sessions import Command
from accounts.management.ending import BROAD
from accounts.management.interruption import finishing_the_batch
from accounts.management.progress import Progress
from accounts.models import AuditEntry, Revocation, User
from accounts.sessions import live
from accounts.sessions.store import SessionStore
from backoffice.demo.store import EmbeddedStore
from tests.accounts.commands.test_audit_commands import run
from tests.accounts.sessions.conftest import ISSUER, PROFILE, again, is_live
from tests.conftest import Travel, use_store

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

ROOT = Path(__file__).parents[3]
NOWHERE = "redis://127.0.0.1:1/0"
CHROME, FIREFOX = crowd.AGENTS[0], crowd.AGENTS[5]


def begin(sub: str = "u-1", **about: Any) -> SessionStore:
    """A live session of somebody in support, at the office, in Chrome."""
    person = {name: about.pop(name) for name in list(about) if name in PROFILE}
    sign_in = {"provider": "oidc", "address": "10.20.1.7", "agent": CHROME, **about}
    session = SessionStore()
    session.begin(
        {"profile": {**PROFILE, "sub": sub, **person}, "sign_in": sign_in},
        person=keys.person(ISSUER, sub),
        origin=None,
    )
    session.save()
    return session


def purge(*arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run("purge_sessions", *arguments, "--json")[1])
    return found


@pytest.mark.parametrize(
    ("filters", "other"),
    [
        (["--group", "support"], {"groups": ["staff"]}),
        (["--department", "Support"], {"department": "Risk"}),
        (["--ip", "10.20.0.0/16"], {"address": "10.21.0.1"}),
        (["--ip", "10.20.1.7"], {"address": "10.20.1.8"}),
        (["--agent", "windows CHROME"], {"agent": FIREFOX}),
        (["--provider", "oidc"], {"provider": "partner"}),
        (
            ["--group", "support", "--agent", "chrome", "--ip", "10.0.0.0/8"],
            {"agent": FIREFOX},
        ),
    ],
)
def test_filter_ends_exactly_those_it_means(
    filters: list[str], other: dict[str, Any]
) -> None:
    meant, spared = begin("u-1"), begin("u-2", **other)
    assert purge(*filters, "--dry-run")["ended"] == 1
    assert is_live(meant)
    assert purge(*filters, "--reason", "stolen")["ended"] == 1
    assert (is_live(meant), is_live(spared)) == (False, True)
    entry = AuditEntry.objects.get(event="session:killed")
    assert (entry.actor, entry.reason) == ("purge_sessions", "stolen")
    bulk = AuditEntry.objects.get(event="sessions:killed-in-bulk")
    assert bulk.details["filter"].startswith(
        filters[0].strip("-")[:2].replace("ip", "")
    )


def test_idle_and_start_filters_go_by_time(travel: Travel) -> None:
    old = begin("u-1")
    travel.shift(600)
    young = begin("u-2")
    assert purge("--idle-for", "5m", "--dry-run")["ended"] == 1
    moment = (timezone.now() - timedelta(seconds=60)).isoformat()
    assert purge("--started-after", moment, "--dry-run")["ended"] == 1
    assert purge("--started-before", "5m ago")["ended"] == 1
    assert (is_live(old), is_live(young)) == (False, True)


def test_session_is_ended_by_its_id_and_already_gone_the_second_time() -> None:
    session, other = begin("u-1"), begin("u-1")
    identifier = str(session.session_id)
    assert purge("--session", identifier)["ended"] == 1
    assert (is_live(session), is_live(other)) == (False, True)
    assert purge("--session", identifier)["already_gone"] == 1


def test_everyone_takes_a_yes_and_is_one_mark() -> None:
    session = begin()
    code, _, beside = run("purge_sessions", "--everyone")
    assert (code, is_live(session)) == (2, True)
    assert "add --yes" in beside
    assert purge("--everyone", "--dry-run")["ended"] == 1
    said = purge("--everyone", "--yes", "--reason", "breach")
    assert (said["ended"], said["complete"], is_live(session)) == (1, True, False)
    assert Revocation.objects.get().kind == Revocation.Kind.EVERYONE
    entry = AuditEntry.objects.get()
    assert entry.event == "everyone:cut-off"
    assert entry.details == {"sessions": 1}


def test_more_than_fifty_take_a_yes() -> None:
    for number in range(BROAD):
        begin(f"u-{number}")
    code, _, _ = run("purge_sessions", "--group", "support", "--dry-run")
    assert code == 0
    last = begin("u-last")
    assert run("purge_sessions", "--group", "support")[0] == 2
    assert is_live(last)
    assert purge("--group", "support", "--yes")["ended"] == BROAD + 1


def test_narrow_selection_takes_no_yes() -> None:
    begin()
    assert run("purge_sessions", "--group", "support")[0] == 0


# Wrong usage --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["--ip", "10.0.0.300"],
        ["--ip", "10.0.0.1/8"],
        ["--idle-for", "soon"],
        ["--idle-for", "0h"],
        ["--idle-for", "-2h"],
        ["--started-before", "tuesday"],
        ["--started-before", "2h"],
        ["--session", "x"],
        ["--user", ""],
        ["--group", " "],
        ["--group", "a\nb"],
        ["--everyone", "--group", "support", "--yes"],
        ["--check", "--group", "support"],
        ["--everyone", "--repair", "--yes"],
        ["--reason", "because"],
        ["--every", "--yes"],
        ["--no-such"],
    ],
)
def test_wrong_usage_is_2_says_why_and_does_nothing(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    session = begin()
    with pytest.raises(SystemExit) as caught:
        Command().run_from_argv(["manage.py", "purge_sessions", *arguments])
    out, beside = capsys.readouterr()
    assert (caught.value.code, out) == (2, "")
    assert beside.strip()
    assert is_live(session)


def test_session_key_pasted_by_mistake_is_not_repeated() -> None:
    session = begin()
    key = str(session.session_key)
    with pytest.raises(CommandError) as caught:
        call_command("purge_sessions", "--session", key)
    assert key not in str(caught.value)


@hypothesis_settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    name=st.sampled_from(
        ["--ip", "--idle-for", "--started-before", "--started-after", "--session"]
    ),
    value=st.text(max_size=12),
)
def test_no_value_is_misunderstood(name: str, value: str) -> None:
    # Either it says what is wrong with the value, or it understood it.
    with suppress(CommandError):
        call_command("purge_sessions", f"{name}={value}", "--dry-run")
    assert not AuditEntry.objects.exists()


# A part is away -----------------------------------------------------------------------


def subprocess_run(
    arguments: list[str], database: str, store: str = ""
) -> subprocess.CompletedProcess[str]:
    """The command as a person runs it, with a database of its own."""
    env = os.environ | {
        "DATABASE_URL": database,
        "DJANGO_SETTINGS_MODULE": "backoffice.settings",
    }
    if store:
        env["REDIS_URL"] = store
    return subprocess.run(
        [sys.executable, "manage.py", "purge_sessions", *arguments],
        env=env,
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=False,
    )


@pytest.mark.parametrize("how", ["--session", "--user", "--group"])
def test_without_sql_it_kills_in_the_store_and_is_4(
    how: str, store_server: EmbeddedStore
) -> None:
    meant = begin("u-1")
    spared = begin("u-2", username="minsu", email="m@example.com", groups=["staff"])
    value = {
        "--session": str(meant.session_id),
        "--user": "haneul",
        "--group": "support",
    }[how]
    database = "postgres://nobody@127.0.0.1:1/none"
    done = subprocess_run([how, value, "--json"], database, store_server.url)
    assert done.returncode == 4, done.stderr
    said = json.loads(done.stdout)
    assert (said["ended"], said["durable"]) == (1, False)
    assert "not yet durable" in done.stderr
    assert (is_live(meant), is_live(spared)) == (False, True)
    # What SQL could not take waits in the store, the kill and its entry.
    live.settle()
    assert Revocation.objects.count() == 1
    assert AuditEntry.objects.filter(event="session:killed").count() == 1


def test_with_the_store_away_filters_end_nobody_and_say_so(settings: Settings) -> None:
    begin()
    use_store(settings, NOWHERE)
    code, out, beside = run("purge_sessions", "--group", "support", "--yes")
    assert (code, out) == (1, "")
    assert "Nothing was done" in beside
    assert not AuditEntry.objects.exists()


def test_with_the_store_away_one_session_and_everyone_are_recorded(
    settings: Settings,
) -> None:
    session, here = begin(), settings.CACHES["sessions"]["LOCATION"]
    use_store(settings, NOWHERE)
    assert run("purge_sessions", "--session", str(session.session_id))[0] == 3
    code, out, _ = run("purge_sessions", "--everyone", "--yes", "--json")
    assert (code, json.loads(out)["pending"]) == (3, True)
    assert Revocation.objects.count() == 2
    use_store(settings, here)
    assert not is_live(session)


# Stopped in the middle ----------------------------------------------------------------


def test_interrupted_run_finishes_its_batch_and_prints_totals(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    crowd.store(list(crowd.sessions(700, 10)))

    def reach(self: Progress, number: int) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Progress, "reach", reach)
    code, out, beside = run("purge_sessions", "--group", "staff", "--yes", "--json")
    said = json.loads(out)
    assert (code, said["interrupted"], said["complete"]) == (4, True, False)
    assert said["ended"] == 500 == 700 - live.count()
    assert "run it again" in beside
    assert AuditEntry.objects.filter(event="session:killed").count() == 500


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_second_signal_is_not_held_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with finishing_the_batch() as is_asked:
        assert not is_asked()
        signal.raise_signal(number)
        assert is_asked()
        assert signal.getsignal(number) is before
    assert signal.getsignal(number) is before


def test_person_without_an_account_is_found_by_nobody(user: User) -> None:
    begin("u-9", username="ghost")
    assert run("purge_sessions", "--user", "ghost")[0] == 1


# Exactly those that were counted ------------------------------------------------------


def confirmed_after(
    monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], None]
) -> list[str]:
    """Somebody at the terminal says yes after a while; gives what they were asked."""
    asked: list[str] = []

    def confirm(self: Command, options: dict[str, Any], question: str) -> None:
        asked.append(question)
        meanwhile()

    monkeypatch.setattr(Command, "_confirm", confirm)
    return asked


def test_what_matches_after_the_question_is_left_alone_and_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counted = [begin(f"u-{number}") for number in range(BROAD + 1)]
    mover = begin("u-mover", groups=["staff"])
    late: list[SessionStore] = []

    def meanwhile() -> None:
        moved = again(mover)
        moved["profile"] = {**moved["profile"], "groups": ["staff", "support"]}
        moved.save()
        late.append(begin("u-late"))

    asked = confirmed_after(monkeypatch, meanwhile)
    code, out, beside = run("purge_sessions", "--group", "support", "--json")
    assert asked == [f"End these {BROAD + 1} sessions?"]
    said = json.loads(out)
    assert (code, said["matched"], said["ended"], said["more"]) == (0, 51, 51, 2)
    assert "2 more match now and were not ended" in beside
    assert not any(map(is_live, counted))
    assert is_live(mover)
    assert is_live(late[0])


def test_person_is_ended_whole_and_asked_about_so(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(BROAD + 1):
        begin(user.sub)
    late: list[SessionStore] = []
    asked = confirmed_after(monkeypatch, lambda: late.append(begin(user.sub)))
    assert purge("--user", user.username)["ended"] == BROAD + 2
    (question,) = asked
    assert question.startswith("End every session of ")
    assert question.endswith(f", {BROAD + 1} sessions now?")
    assert not is_live(late[0])
