"""RED-08: a user of the store that can do what the site does, and no more."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
from pytest_django.fixtures import Settings

from accounts import audit
from accounts.models import User
from accounts.sessions import (
    audit_copy,
    census,
    checks,
    frozen,
    live,
    noteworthy,
)
from accounts.sessions.amend import amend, turn
from accounts.sessions.store import TOUCH_SECONDS, SessionStore
from accounts.sso import pending
from backoffice.demo.store import EmbeddedStore
from tests import topology
from tests.accounts.sessions.conftest import ISSUER, again, begin, is_live
from tests.accounts.sessions.test_live import refuse_sql
from tests.conftest import PATIENCE_SECONDS, Travel, use_store
from tests.journeys.site import ROOT

pytestmark = pytest.mark.django_db

OPERATIONS = ROOT / "docs" / "operations.md"
USER, PASSWORD = "backoffice", "PASSWORD"
NEVER = (
    ("KEYS", "*"),
    ("FLUSHALL",),
    ("FLUSHDB",),
    ("CONFIG", "GET", "*"),
    ("CONFIG", "SET", "maxmemory-policy", "allkeys-lru"),
    ("DEBUG", "OBJECT", "x"),
    ("MONITOR",),
    ("SAVE",),
    ("SHUTDOWN",),
    ("REPLICAOF", "NO", "ONE"),
    ("ACL", "SETUSER", "another"),
    ("SCRIPT", "FLUSH"),
    ("CLIENT", "LIST"),
    ("DUMP", "bo:{i}:use"),
    ("RENAME", "bo:{i}:use", "bo:x"),
    ("GET", "of-another-site"),
    ("SET", "of-another-site", "x"),
)


def documented_rule() -> list[str]:
    text = OPERATIONS.read_text(encoding="utf-8")
    (rule,) = re.findall(rf"ACL SETUSER {USER} ((?:.*\\\n)*.*)", text)
    return str(rule).replace("\\\n", " ").split()


@pytest.fixture
def admin_of_store(tmp_path: Path, settings: Settings) -> Iterator[redis.Redis]:
    """A store where the site is that user; gives the other one, who may everything."""
    with EmbeddedStore(tmp_path / "own") as server:
        everything = redis.Redis.from_url(server.url)
        everything.execute_command("ACL", "SETUSER", USER, "reset", *documented_rule())
        path = urlsplit(server.url).path
        use_store(settings, f"unix://{USER}:{PASSWORD}@{path}?db=0", PATIENCE_SECONDS)
        yield everything
        everything.close()


def test_everything_the_site_does_is_allowed(
    admin_of_store: redis.Redis,
    user: User,
    travel: Travel,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Callable[..., AbstractContextManager[Any]],
) -> None:
    assert pending.use_state("state")
    assert pending.PendingSignIns("0" * 32, {}).finish()
    # Only the timeout of the tests is not as the checks want it.
    assert [each.id for each in checks.check_store()] == ["accounts.E003"]
    session, other = begin(user.sub, sid="s-1"), begin("u-2", sid="s-2")
    travel.shift(TOUCH_SECONDS + 1)
    reopened = again(session)
    reopened["draft"] = "x"
    reopened.save()
    reopened.cycle_key()
    mine = str(reopened.session_id)
    with turn(mine, 5) as is_ours:
        assert is_ours
    assert amend(mine, lambda data: {**data, "draft": "y"})
    noteworthy.refused_call(reopened, mine, "not-allowed", "192.0.2.7", path="/x")
    assert live.select(live.Selection(group="support")).total == 2
    assert live.of_person(ISSUER, user.sub)
    with monkeypatch.context() as away:
        refuse_sql(away)
        live.end([str(other.session_id)], by="desk")
    live.settle()
    listed = frozen.freeze([mine], 60)
    frozen.keep(listed, 90)
    assert frozen.read(listed, 0) == [mine]
    frozen.drop(listed)
    live.end_person(user, by="desk")
    live.end_origin(ISSUER, "s-1", by="provider")
    third = begin("u-3")
    travel.shift(1)
    live.end_everyone(by="desk")
    assert not any(map(is_live, (session, other, third)))
    live.clear_up()
    live.purge()
    with django_capture_on_commit_callbacks(execute=True):
        audit.record(audit.Event.PURGED, actor="desk")
    audit_copy.settle()
    assert audit_copy.anchored()
    census.repair()
    assert census.check() == census.Census()
    SessionStore.clear_expired()
    assert admin_of_store.acl_log() == []


@pytest.mark.parametrize("command", NEVER, ids=" ".join)
def test_what_harms_all_or_others_is_not(
    admin_of_store: redis.Redis, command: tuple[str, ...]
) -> None:
    begin()
    said = admin_of_store.execute_command("ACL", "DRYRUN", USER, *command)
    assert b"has no permissions" in said or b"No permissions to access a key" in said


def test_in_a_cluster_it_takes_a_little_more(
    tmp_path: Path, settings: Settings, user: User
) -> None:
    text = OPERATIONS.read_text(encoding="utf-8")
    (more,) = re.findall(r"In a Cluster it also needs `([^`]*)`", text)
    rule = [*documented_rule(), *more.split()]
    with topology.cluster(tmp_path) as running:
        for client in running.clients():
            client.execute_command("ACL", "SETUSER", USER, "reset", *rule)
            client.close()
        use_store(settings, running.address.replace("//", f"//{USER}:{PASSWORD}@"))
        session, other = begin(user.sub, sid="s-1"), begin("u-2")
        session["draft"] = "x"
        session.save()
        session.cycle_key()
        assert live.select(live.Selection(group="support")).total == 2
        live.end_person(user, by="desk")
        assert [is_live(session), is_live(other)] == [False, True]
        live.end_everyone(by="desk")
        live.clear_up()
        census.repair()
        assert census.check() == census.Census()
