from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.db import DatabaseError
from pytest_django.fixtures import Settings

from accounts import keys
from accounts.models import User
from accounts.profile import StaffProfile
from accounts.sessions.store import SessionStore
from backoffice.management.commands.explain_route import (
    REFUSED,
    STORE_UNREACHABLE,
    WRONG_USAGE,
)
from backoffice.proxy.errors import Refusal
from backoffice.proxy.reload import forget_routes
from tests.backoffice.proxy.conftest import KIM
from tests.conftest import use_store

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("table")]

ROUTES = """
[[route]]
name = "members"
upstream = "http://127.0.0.1:9001/v1"
groups = ["support"]
methods = ["GET", "POST"]
write_groups = ["leads"]

[[route]]
name = "admin"
prefix = "members/admin"
upstream = "unix:/run/api.sock:/x"
groups = ["ops"]

[[route]]
name = "frozen"
upstream = "http://h"
methods = ["GET", "PUT"]
writes = false

[[route]]
name = "patched"
upstream = "http://h"
methods = ["PATCH"]
"""


@pytest.fixture
def table(tmp_path: Path, settings: Settings) -> None:
    settings.ROUTES_FILE = tmp_path / "routes.toml"
    settings.ROUTES_FILE.write_text(ROUTES, encoding="utf-8")
    forget_routes()


def explain(
    capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, dict[str, Any]]:
    code = 0
    try:
        call_command("explain_route", *arguments, "--json")
    except SystemExit as left:
        code = int(str(left.code))
    return code, json.loads(capsys.readouterr().out)


def test_a_call_that_passes_names_its_rule_and_its_target(
    capsys: pytest.CaptureFixture[str],
) -> None:
    call = ["get", "/api/proxy/members/42?x=1", "--groups", "support, night"]
    code, found = explain(capsys, *call)
    assert (code, found["passes"], found["target"]) == (0, True, "/v1/42?x=1")
    assert (found["route"], found["place"]) == ("members", "routes.toml:2")
    assert found["groups"] == ["support", "night"]


@pytest.mark.parametrize(
    ("call", "refusal", "why"),
    [
        ("GET members/1", Refusal.NO_SESSION, "Nobody"),
        ("GET absent/1 --groups ops", Refusal.NO_ROUTE, "No route"),
        ("GET members/1 --groups ops", Refusal.NOT_ALLOWED, "one of: support;"),
        ("POST members/1 --groups support", Refusal.NOT_ALLOWED, "write_groups"),
        ("PUT members/1 --groups support", Refusal.NO_METHOD, "GET, HEAD, POST"),
        ("FOO members/1 --groups support", Refusal.NO_METHOD, "takes"),
        ("PUT frozen --groups support", Refusal.NO_METHOD, "switched off"),
        ("GET members/admin --groups support", Refusal.NOT_ALLOWED, "one of: ops"),
        ("GET members/%61dmin --groups support", Refusal.BAD_PATH, "another route"),
        ("GET members/../x --groups support", Refusal.BAD_PATH, "dot segment"),
        ("GET members/%zz --groups support", Refusal.BAD_PATH, "bad escape"),
        ("GET %6dembers/ --groups support", Refusal.BAD_PATH, "plainly"),
        ("GET members/%ff --groups support", Refusal.BAD_PATH, "UTF-8"),
        ("GET members/%25252525252541 --groups x", Refusal.BAD_PATH, "more often"),
        ("GET ../proxy%2Fmembers --groups support", Refusal.BAD_PATH, "dot segment"),
        ("get members/1 --groups ops", Refusal.NOT_ALLOWED, "one of: support;"),
        ("patch patched --groups ops", Refusal.NO_METHOD, "another method than PATCH"),
    ],
)
def test_every_refusal_says_why(
    capsys: pytest.CaptureFixture[str], call: str, refusal: Refusal, why: str
) -> None:
    method, path, *more = call.split(" ")
    code, found = explain(capsys, method, f"/api/proxy/{path}", *more)
    assert (code, found["status"], found["word"]) == (
        REFUSED,
        refusal.status,
        refusal.word,
    )
    assert why in found["why"]


@pytest.mark.parametrize(
    ("call", "key"),
    [
        ("GET members/1 --groups ops", "groups = "),
        ("POST members/1 --groups support", "write_groups = "),
        ("PUT members/1 --groups support", "methods = "),
        ("PUT frozen --groups support", "writes = "),
        ("GET members/1 --groups support", "[[route]]"),
    ],
)
def test_a_refusal_names_the_line_that_decides(
    capsys: pytest.CaptureFixture[str], settings: Settings, call: str, key: str
) -> None:
    method, path, *more = call.split(" ")
    _, found = explain(capsys, method, f"/api/proxy/{path}", *more)
    file, _, number = found["place"].rpartition(":")
    assert file == "routes.toml"
    lines = settings.ROUTES_FILE.read_text(encoding="utf-8").splitlines()
    assert lines[int(number) - 1].startswith(key)


def test_an_address_of_another_site_is_explained(
    capsys: pytest.CaptureFixture[str],
) -> None:
    call = ["GET", "http://evil.example/api/proxy/members/1", "--groups", "support"]
    assert "neither a path nor" in explain(capsys, *call)[1]["why"]


def test_another_spelling_of_the_gate_s_own_place_is_explained(
    capsys: pytest.CaptureFixture[str],
) -> None:
    call = ["GET", "/api%2Fproxy/members/1", "--groups", "support"]
    assert "spelled plainly" in explain(capsys, *call)[1]["why"]


@pytest.mark.parametrize(
    "path", ["/", "/admin/", "members/1", "", "/API/proxy/members"]
)
def test_the_gate_has_no_say_elsewhere(path: str) -> None:
    with pytest.raises(CommandError, match="not below /api/proxy/") as caught:
        call_command("explain_route", "GET", path, "--groups", "support")
    assert caught.value.returncode == WRONG_USAGE


def test_a_database_that_is_away_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any) -> None:
        raise DatabaseError

    monkeypatch.setattr(type(User.objects), "named", away)
    with pytest.raises(CommandError, match="--groups") as caught:
        call_command("explain_route", "GET", "/api/proxy/members/1", "--as", "kim")
    assert caught.value.returncode == STORE_UNREACHABLE


def test_the_text_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("explain_route", "GET", "/api/proxy/members/1", "--groups=support")
    lines = dict(
        line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()
    )
    assert lines["rule"] == "routes.toml:2  members"
    assert lines["answer"] == "passes"


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("name", [KIM.username, KIM.email, KIM.sub])
def test_a_person_is_judged_by_the_newest_live_session(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    now = time.time()
    for later, groups in enumerate(([], ["finance"], ["support"])):
        with time_machine.travel(now + later):
            sign_in(groups)
    code, found = explain(capsys, "GET", "/api/proxy/members/1", "--as", name)
    assert (code, found["groups"]) == (0, ["support"])


def sign_in(groups: list[str]) -> SessionStore:
    profile = {**KIM.to_session(), "groups": groups}
    User.objects.enter(StaffProfile.from_session({"profile": profile}))
    session = SessionStore()
    session.begin(
        {"profile": profile, "sign_in": {"provider": "oidc"}},
        person=keys.person(KIM.issuer, KIM.sub),
        origin=None,
    )
    session.save()
    return session


@pytest.mark.parametrize(
    ("arguments", "text"),
    [(["--as", "absent"], "Nobody is known"), (["--as", KIM.username], "--groups")],
)
@pytest.mark.usefixtures("store")
def test_a_person_who_cannot_be_judged_is_wrong_usage(
    arguments: list[str], text: str
) -> None:
    sign_in(groups=["support"]).flush()
    with pytest.raises(CommandError, match=text) as caught:
        call_command("explain_route", "GET", "/api/proxy/members/1", *arguments)
    assert caught.value.returncode == WRONG_USAGE


def test_groups_may_be_assumed_for_a_person_while_the_store_is_away(
    capsys: pytest.CaptureFixture[str], settings: Settings, store: Any
) -> None:
    sign_in(groups=[])
    use_store(settings, "redis://127.0.0.1:1/0")
    call = ["GET", "/api/proxy/members/1", "--as", KIM.username]
    assert explain(capsys, *call, "--groups", "support")[0] == 0
    with pytest.raises(CommandError) as caught:
        call_command("explain_route", *call)
    assert caught.value.returncode == STORE_UNREACHABLE


def test_a_broken_table_is_reported_with_its_lines(settings: Settings) -> None:
    settings.ROUTES_FILE.write_text('[[route]]\nname = "A"\n', encoding="utf-8")
    with pytest.raises(CommandError, match=r"routes\.toml:2: name"):
        call_command("explain_route", "GET", "/api/proxy/members/1")
