from __future__ import annotations

import json
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from accounts.management import crowd
from tests.accounts.commands.test_audit_commands import run
from tests.accounts.commands.test_ending_selected import NOWHERE, begin
from tests.conftest import Travel, use_store

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]


def listed(*arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run("list_sessions", *arguments, "--json")[1])
    return found


def test_lists_what_the_filters_mean_and_no_key() -> None:
    meant, _ = begin("u-1"), begin("u-2", groups=["staff"])
    code, out, _ = run("list_sessions", "--group", "support", "--json")
    (session,) = json.loads(out)["sessions"]
    assert (code, session["session"]) == (0, meant.session_id)
    assert (session["user"], session["device"]) == ("haneul", "Chrome 156, Windows 10")
    assert str(meant.session_key) not in out


def test_orders_both_ways_and_tells_how_many_there_are(travel: Travel) -> None:
    begun = []
    for number in range(3):
        begun.append(begin(f"u-{number}").session_id)
        travel.shift(1)
    said = listed("--order", "start", "--limit", "2")
    assert [each["session"] for each in said["sessions"]] == [begun[2], begun[1]]
    assert said["total"] == 3
    said = listed("--order", "start", "--reverse", "--limit", "1")
    assert said["sessions"][0]["session"] == begun[0]


def test_all_of_many_are_listed_once() -> None:
    crowd.store(list(crowd.sessions(1100, 10)))
    found = listed("--limit", "0")["sessions"]
    assert len({each["session"] for each in found}) == 1100 == len(found)


def test_pipe_gets_lines_and_no_escape_sign() -> None:
    begin(name="\x1b[31mred\t김")
    code, out, beside = run("list_sessions", "--limit", "1")
    head, row = out.splitlines()
    assert head.split("\t")[:3] == ["session", "user", "name"]
    assert row.split("\t")[2] == "�[31mred�김"
    assert (code, beside) == (0, "")


def test_limit_is_said_beside_the_list() -> None:
    begin("u-1"), begin("u-2")
    assert "1 of 2 live sessions" in run("list_sessions", "--limit", "1")[2]


def test_store_away_is_3(settings: Settings) -> None:
    use_store(settings, NOWHERE)
    code, out, _ = run("list_sessions")
    assert (code, out) == (3, "")
