from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError
from django.utils import timezone
from pytest_django.fixtures import Settings

from accounts import suspension
from accounts.models import AuditEntry, Revocation, Suspension, User
from tests.accounts.sessions.conftest import begin, is_live, user
from tests.conftest import use_store

__all__ = ["user"]

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

ISSUER = "https://idp.example"


@pytest.fixture(autouse=True)
def _only_provider(settings: Settings) -> None:
    from dataclasses import replace

    settings.PROVIDERS = (replace(settings.PROVIDERS[0], issuer=ISSUER),)


def run(command: str, *arguments: str) -> str:
    out = StringIO()
    call_command(command, *arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


def suspend(*arguments: str) -> dict[str, Any]:
    said = run("suspend_user", *arguments, "--reason", "phone stolen", "--json")
    found: dict[str, Any] = json.loads(said)
    return found


def exit_code(command: str, *arguments: str) -> int:
    with pytest.raises(CommandError) as caught:
        run(command, *arguments, "--reason", "r")
    return caught.value.returncode


def test_suspend_ends_the_sessions_and_restore_lifts_it(user: User) -> None:
    sessions = [begin(user.sub), begin(user.sub)]
    assert suspend(user.username)["ended"] == 2
    assert not any(map(is_live, sessions))
    row = Suspension.objects.get()
    assert (row.sub, row.by, row.until) == (user.sub, "suspend_user", None)
    said = run("restore_user", user.email, "--reason", "found", "--json")
    assert json.loads(said)["lifted"] == 1
    assert suspension.current(user.issuer, user.sub) is None
    events = AuditEntry.objects.filter(event__startswith="person:").order_by("pk")
    assert [(each.event, each.actor, each.subject) for each in events] == [
        ("person:suspended", "suspend_user", user.username),
        ("person:restored", "restore_user", user.username),
    ]


def test_it_says_that_the_session_at_the_provider_is_alive(user: User) -> None:
    said = run("suspend_user", user.username, "--reason", "r")
    assert "is suspended. Ended: 0." in said
    assert "session at the provider is still alive" in said
    begin(user.sub)
    ended = run("purge_sessions", "--user", user.username)
    assert "session at the provider is still alive" in ended


@pytest.mark.parametrize("until", ["8h", "2099-01-01T09:00"])
def test_until_a_time(user: User, until: str) -> None:
    suspend(user.username, "--until", until)
    found = Suspension.objects.get().until
    assert found
    assert found > timezone.now() + timedelta(hours=7)


@pytest.mark.parametrize("until", ["2020-01-01", "yesterday", "2h ago"])
def test_time_that_is_over_is_refused(user: User, until: str) -> None:
    with pytest.raises(CommandError):
        suspend(user.username, "--until", until)
    assert not Suspension.objects.exists()


def test_unknown_name_suspends_nobody_unless_told_what_it_is() -> None:
    assert exit_code("suspend_user", "stranger") == 1
    assert not Suspension.objects.exists()
    assert suspend("stranger", "--as", "sub")["sub"] == "stranger"
    assert suspend("New@Example.com", "--as", "email")["suspended"]
    assert exit_code("suspend_user", "stranger", "--as", "email") == 2
    assert suspension.current(ISSUER, "stranger")
    assert suspension.current(ISSUER, "whoever", "new@example.com")


def test_suspended_by_address_is_restored_by_address_and_nobody_else_is() -> None:
    (
        suspend("one@example.com", "--as", "email"),
        suspend("two@example.com", "--as", "email"),
    )
    run("restore_user", "One@example.com", "--reason", "r")
    assert suspension.current(ISSUER, "u-1", "one@example.com") is None
    assert suspension.current(ISSUER, "u-2", "two@example.com")


def test_name_of_two_people_is_2_and_suspends_neither(user: User) -> None:
    twin = User.objects.get(pk=user.pk)
    twin.pk, twin.issuer, twin.identity = None, "https://two.example", "another"
    twin.save()
    assert exit_code("suspend_user", user.username) == 2
    assert not Suspension.objects.exists()
    suspend(user.username, "--provider", "oidc")
    assert Suspension.objects.get().issuer == user.issuer


def test_no_reason_and_nobody_to_ask_is_2(user: User) -> None:
    with pytest.raises(CommandError) as caught:
        run("suspend_user", user.username)
    assert caught.value.returncode == 2


def test_restoring_who_is_not_suspended_is_1(user: User) -> None:
    assert exit_code("restore_user", user.username) == 1


def test_store_away_is_3_and_the_suspension_stands(
    user: User, settings: Settings
) -> None:
    session = begin(user.sub)
    url = settings.CACHES["sessions"]["LOCATION"]
    use_store(settings, "redis://127.0.0.1:1/0")
    assert exit_code("suspend_user", user.username) == 3
    use_store(settings, url)
    assert suspension.current(user.issuer, user.sub)
    assert not is_live(session)


def test_database_away_is_4_where_sessions_ended(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = begin(user.sub)

    def away(*args: Any, **kwargs: Any) -> None:
        raise DatabaseError

    monkeypatch.setattr(Revocation.objects, "bulk_create", away)
    assert exit_code("suspend_user", user.username) == 4
    assert not is_live(session)


def test_both_away_is_1(
    user: User, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*args: Any, **kwargs: Any) -> None:
        raise DatabaseError

    monkeypatch.setattr(Revocation.objects, "bulk_create", away)
    use_store(settings, "redis://127.0.0.1:1/0")
    assert exit_code("suspend_user", user.username) == 1


def test_purge_notes_a_suspension_whose_time_has_come(user: User) -> None:
    suspend(user.username, "--until", "1h")
    Suspension.objects.update(until=timezone.now() - timedelta(seconds=1))
    run("purge_sessions")
    row = Suspension.objects.get()
    assert (row.lifted_at, row.lifted_by) == (row.until, "")
    assert AuditEntry.objects.filter(event="person:restored", actor="system").exists()
