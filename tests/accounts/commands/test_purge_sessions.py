from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
import redis
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from accounts import keys
from accounts.audit import Event
from accounts.models import AuditEntry, Revocation, User
from tests.accounts.sessions.conftest import begin, is_live
from tests.accounts.sessions.test_live import refuse_sql
from tests.conftest import Travel, use_store

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]


def purge(*arguments: str) -> dict[str, Any]:
    out = StringIO()
    call_command("purge_sessions", *arguments, "--json", stdout=out, stderr=StringIO())
    found: dict[str, Any] = json.loads(out.getvalue())
    return found


def exit_code(*arguments: str) -> int:
    with pytest.raises(CommandError) as caught:
        purge(*arguments)
    return caught.value.returncode


def test_without_arguments_it_removes_the_dead_and_ends_nobody(travel: Travel) -> None:
    begin("u-1")
    travel.shift(1801)
    stays = begin("u-2")
    assert purge("--dry-run")["purged"] == 1
    assert purge() == {"schema": 1, "dry_run": False, "purged": 1, "live": 1}
    assert is_live(stays)
    entry = AuditEntry.objects.get(event=Event.PURGED)
    assert (entry.actor, entry.details) == ("purge_sessions", {"removed": 1})


def test_dry_run_shows_the_same_number_and_ends_nothing(user: User) -> None:
    session = begin(user.sub)
    assert purge("--user", user.email, "--dry-run")["ended"] == 1
    assert is_live(session)
    assert purge("--user", user.email, "--yes")["ended"] == 1
    assert not is_live(session)


def test_reason_and_actor_are_in_the_ledger(user: User) -> None:
    begin(user.sub)
    purge("--user", user.username, "--yes", "--reason", "left the company")
    row = Revocation.objects.get()
    assert (row.by, row.reason) == ("purge_sessions", "left the company")


def test_name_of_several_people_ends_all_of_them_and_says_who(user: User) -> None:
    twin = User.objects.get(pk=user.pk)
    twin.pk, twin.sub, twin.identity = None, "u-twin", "another identity"
    twin.save()
    begin(user.sub), begin("u-twin")
    assert purge("--user", user.username, "--yes")["ended"] == 2


def test_nobody_of_that_name_is_1() -> None:
    assert exit_code("--user", "stranger") == 1


def test_store_away_is_3_where_an_end_is_recorded_and_1_where_nothing_is_done(
    user: User, settings: Settings
) -> None:
    session = begin(user.sub)
    url = settings.CACHES["sessions"]["LOCATION"]
    use_store(settings, "redis://127.0.0.1:1/0")
    assert exit_code() == 1
    assert exit_code("--user", user.username, "--dry-run") == 1
    assert exit_code("--user", user.username, "--yes") == 3
    use_store(settings, url)
    assert not is_live(session)


def test_store_and_sql_away_is_1_and_nothing_is_done(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = begin()
    url = settings.CACHES["sessions"]["LOCATION"]
    use_store(settings, "redis://127.0.0.1:1/0")
    with monkeypatch.context() as away:
        refuse_sql(away)
        assert exit_code("--session", str(session.session_id), "--yes") == 1
    use_store(settings, url)
    assert is_live(session)


def test_check_finds_strays_and_repair_mends_them(store: redis.Redis) -> None:
    session = begin()
    assert purge("--check")["hidden"] == 0
    store.zrem(keys.BY_END, bytes.fromhex(str(session.session_id)))
    assert exit_code("--check") == 1
    assert purge("--repair")["hidden"] == 1
    entry = AuditEntry.objects.get(event=Event.REPAIRED)
    assert entry.details == {"hidden": 1, "haunting": 0}
    assert purge("--check") == {
        "schema": 1,
        "dry_run": False,
        "live": 1,
        "hidden": 0,
        "haunting": 0,
    }
