from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from backoffice.proxy.errors import Refusal
from backoffice.proxy.header_names import NOT_RETURNED, NOT_SENT
from backoffice.proxy.paths import PREFIX

ROUTES = """
[[route]]
name = "members"
upstream = "https://h:8443/v1"
groups = ["b", "a"]

[[route]]
name = "admin"
prefix = "members/admin"
upstream = "unix:/run/api.sock:/x"
identity = "token"
methods = ["GET", "PUT"]
writes = false
cache = "revalidate"
keepalive = "shared"
"""


@pytest.fixture
def exported(
    tmp_path: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> dict[str, Any]:
    settings.ROUTES_FILE = tmp_path / "routes.toml"
    settings.ROUTES_FILE.write_text(ROUTES, encoding="utf-8")
    call_command("export_routes")
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_longer_prefixes_come_first(exported: dict[str, Any]) -> None:
    assert [route["prefix"] for route in exported["routes"]] == [
        "members/admin",
        "members",
    ]


def test_a_route_is_exported_as_it_is_judged(exported: dict[str, Any]) -> None:
    admin, members = exported["routes"]
    assert admin["methods"] == ["GET", "HEAD"]
    assert (admin["identity"], admin["audience"]) == ("token", "admin")
    assert admin["cache"] == "revalidate"
    assert (admin["keepalive"], members["keepalive"]) == ("shared", "person")
    assert admin["upstream"] == {
        "scheme": "http",
        "host": "localhost",
        "socket": "/run/api.sock",
        "mount": "/x",
        "nginx": "http://unix:/run/api.sock:",
        "ca_file": None,
    }
    assert members["upstream"]["nginx"] == "https://h:8443"
    assert (members["groups"], members["place"]) == (["a", "b"], "routes.toml:2")


def test_the_rules_around_the_table_are_those_of_the_gate(
    exported: dict[str, Any], settings: Settings
) -> None:
    assert exported["gate"]["prefix"] == PREFIX
    assert exported["gate"]["cookie"] == settings.SESSION_COOKIE_NAME
    assert set(exported["request_headers"]["drop"]) == NOT_SENT
    assert set(exported["response_headers"]["drop"]) == NOT_RETURNED
    assert exported["refusals"]["no-session"]["status"] == Refusal.NO_SESSION.status


def test_without_a_file_the_export_is_empty(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.ROUTES_FILE = None
    call_command("export_routes")
    assert json.loads(capsys.readouterr().out)["routes"] == []


def test_a_broken_table_is_not_exported(settings: Settings, tmp_path: Path) -> None:
    settings.ROUTES_FILE = tmp_path / "absent.toml"
    with pytest.raises(CommandError, match=r"absent\.toml"):
        call_command("export_routes")
