from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from backoffice.proxy import reload
from backoffice.proxy.errors import RouteTableError
from backoffice.proxy.reload import (
    LOOK_SECONDS,
    current_routes,
    forget_routes,
    routes_problems,
)
from backoffice.proxy.route_file import load_routes
from backoffice.proxy.routes import RouteTable

ONE = '[[route]]\nname = "one"\nupstream = "http://h"\n'
TWO = '[[route]]\nname = "two"\nupstream = "http://h"\ngroups = ["x"]\n'


class Clock:
    """The clocks, moved by hand: to the file system it is always the beginning."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.wall = 100.0, time.time()
        monkeypatch.setattr(reload.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(reload.time, "time", lambda: self.wall)

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.wall += seconds

    def look(self) -> list[str]:
        """The routes at the next look."""
        self.now += LOOK_SECONDS
        return [route.name for route in current_routes()]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def file(tmp_path: Path, settings: Settings, clock: Clock) -> Path:
    path = tmp_path / "routes.toml"
    path.write_text(ONE, encoding="utf-8")
    settings.ROUTES_FILE = path
    forget_routes()
    assert clock.look() == ["one"]
    return path


def write(path: Path, text: str) -> None:
    """As an operator should: the whole file at once, by moving it into place."""
    new = path.with_suffix(".new")
    new.write_text(text, encoding="utf-8")
    os.replace(new, path)


def test_a_new_table_is_in_force_without_a_restart(file: Path, clock: Clock) -> None:
    write(file, TWO)
    assert clock.look() == ["one"]
    assert clock.look() == ["two"]


def test_between_two_looks_the_file_is_not_touched(
    file: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(file, TWO)
    clock.look()
    monkeypatch.setattr(reload, "_stamp", lambda path: pytest.fail("looked"))
    clock.now += LOOK_SECONDS / 2
    assert [route.name for route in current_routes()] == ["one"]


def test_half_a_file_is_not_taken(file: Path, clock: Clock) -> None:
    """A valid table that has lost its `groups` would admit everyone."""
    file.write_text(TWO.partition("groups")[0], encoding="utf-8")
    assert clock.look() == ["one"]
    file.write_text(TWO, encoding="utf-8")
    assert clock.look() == ["one"]
    assert clock.look() == ["two"]
    route = current_routes().find("two")
    assert route is not None
    assert route.groups == {"x"}


def test_the_first_call_after_a_quiet_night_is_judged_by_the_new_table(
    file: Path, clock: Clock
) -> None:
    write(file, TWO)
    clock.sleep(8 * 3600)
    assert clock.look() == ["two"]


def test_a_file_that_is_being_written_while_it_is_read_is_not_taken(
    file: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(file, ONE.replace("one", "half"))
    clock.look()

    def reading(path: Path) -> RouteTable:
        table = load_routes(path)
        write(file, TWO)
        return table

    with monkeypatch.context() as patched:
        patched.setattr(reload, "load_routes", reading)
        assert clock.look() == ["one"]
    clock.look()
    assert clock.look() == ["two"]


def test_a_file_that_may_be_read_after_all_is_taken(
    file: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(path: Path) -> RouteTable:
        raise RouteTableError(["routes.toml: Permission denied"])

    write(file, TWO)
    with monkeypatch.context() as patched:
        patched.setattr(reload, "load_routes", forbidden)
        clock.look()
        assert clock.look() == ["one"]
    assert clock.look() == ["one"]
    before = file.stat().st_ctime_ns
    while file.stat().st_ctime_ns == before:
        file.chmod(0o640)
    clock.look()
    assert clock.look() == ["two"]


@pytest.mark.parametrize("bad", ["?", '[[route]]\nname = "A"\nupstream = "x"'])
def test_a_bad_table_keeps_the_old_one_and_says_so(
    file: Path, clock: Clock, bad: str, caplog: pytest.LogCaptureFixture
) -> None:
    write(file, bad)
    for _ in range(4):
        names = clock.look()
    assert names == ["one"]
    assert caplog.text.count("routes_refused problems=routes.toml") == 1
    assert routes_problems()[0].startswith("routes.toml:")
    write(file, TWO)
    clock.look()
    assert clock.look() == ["two"]
    assert routes_problems() == ()


def test_a_file_that_is_gone_takes_no_route_away(file: Path, clock: Clock) -> None:
    file.unlink()
    clock.look()
    assert clock.look() == ["one"]
    assert routes_problems()


def test_without_any_good_table_there_is_none(settings: Settings, file: Path) -> None:
    settings.ROUTES_FILE = file.with_name("absent.toml")
    with pytest.raises(RouteTableError):
        current_routes()
    assert "absent.toml" in routes_problems()[0]


@pytest.mark.django_db
@pytest.mark.usefixtures("store")
def test_readyz_says_that_an_older_table_is_in_force(
    client: Client, file: Path, clock: Clock
) -> None:
    write(file, "?")
    clock.look()
    clock.look()
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["routes"]) == (200, "outdated")
