from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from backoffice.demo import site
from backoffice.demo.errors import DemoError
from backoffice.demo.ports import port_is_free
from backoffice.demo.runner import padded, site_port
from backoffice.demo.staff import STAFF
from backoffice.demo.state_folder import Ports, Secrets, StateFolder
from tests.backoffice.demo.processes import (
    PATIENCE,
    REPOSITORY,
    descendants,
    ends,
    is_gone,
    is_running,
    python,
)
from tests.ports import reserved_port
from tests.waiting import wait_until

# In the site's place: tells who it is and what it was told, and answers /livez.
STAND_IN = """
import json, os
from pathlib import Path
from backoffice.demo.loopback import LoopbackServer
from backoffice.demo.messages import (Response)
from backoffice.demo.stop_signal import StopSignal
stop = StopSignal()
told = {"pid": os.getpid(), **os.environ}
Path(os.environ["ROUTES_FILE"]).with_name("site.json").write_text(json.dumps(told))
server = LoopbackServer(lambda request: Response(), port=int(os.environ["PORT"]))
server.start()
stop.wait()
server.stop()
"""
RUN = """
import sys
from backoffice.demo.runner import run
site = [sys.executable, "-c", sys.argv[1]]
sys.exit(run(site, [("prepare", [sys.executable, "-c", sys.argv[2]])]))
"""
PORTS = Ports(site=8000, provider=20001, upstream=20002)


@contextmanager
def demo(
    folder: Path, stand_in: str = STAND_IN, prepare: str = "", **environment: str
) -> Iterator[subprocess.Popen[str]]:
    settings = {"DEMO_DIR": str(folder), "PORT": str(reserved_port()), **environment}
    with python("-c", RUN, stand_in, prepare, **settings) as process:
        yield process


def up(process: subprocess.Popen[str]) -> str:
    """Everything the demo prints until it is up."""
    assert process.stdout is not None
    lines: list[str] = []
    while line := process.stdout.readline():
        lines.append(line)
        if "Ctrl-C" in line:
            return "".join(lines)
    raise AssertionError(f"the demo did not come up: {ends(process)}")


def told(folder: Path) -> dict[str, str]:
    """What the stand-in for the site found in its environment."""
    found: dict[str, str] = json.loads((folder / "site.json").read_text())
    return found


def test_demo_comes_up_and_says_where_and_as_whom(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    with demo(folder) as process:
        text = up(process)
        assert told(folder)["SITE_URL"] in text
        assert all(f"{person.name} " in text for person in STAFF)
        process.send_signal(signal.SIGINT)
        code, _, err = ends(process)
    assert (code, err) == (0, "")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_demo_stops_everything_when_asked(tmp_path: Path, how: signal.Signals) -> None:
    with demo(tmp_path) as process:
        up(process)
        children = descendants(process.pid)
        assert len(children) >= 4
        process.send_signal(how)
        assert ends(process)[0] == 0
    assert is_gone(*children)


def test_demo_killed_leaves_no_orphan(tmp_path: Path) -> None:
    with demo(tmp_path) as process:
        up(process)
        children = descendants(process.pid)
        process.kill()
    assert is_gone(*children)


def test_demo_stopped_while_it_prepares_is_no_failure(tmp_path: Path) -> None:
    with demo(tmp_path, prepare="import time; time.sleep(600)") as process:
        log = tmp_path / "logs" / "prepare.log"
        assert wait_until(log.exists)
        children = descendants(process.pid)
        process.send_signal(signal.SIGTERM)
        code, _, err = ends(process)
    assert (code, err) == (0, "")
    assert is_gone(*children)


def test_second_start_has_the_same_secrets_and_addresses(tmp_path: Path) -> None:
    found = []
    for _ in range(2):
        with demo(tmp_path) as process:
            up(process)
            found.append(told(tmp_path))
            process.send_signal(signal.SIGTERM)
            ends(process)
    for name in ("SECRET_KEY", "OIDC_CLIENT_SECRET", "OIDC_ISSUER", "REDIS_URL"):
        assert found[0][name] == found[1][name]


def test_second_demo_in_the_same_folder_names_the_first(tmp_path: Path) -> None:
    with demo(tmp_path) as first:
        up(first)
        with demo(tmp_path) as second:
            assert ends(second) == (
                1,
                "",
                f"the demo is already running as pid {first.pid}\n",
            )
        assert first.poll() is None


def test_part_that_dies_ends_the_demo_and_is_quoted(tmp_path: Path) -> None:
    with demo(tmp_path) as process:
        up(process)
        children = descendants(process.pid)
        os.kill(int(told(tmp_path)["pid"]), signal.SIGKILL)
        code, _, err = ends(process)
    assert code == 1
    assert err.startswith("the site ended:")
    assert is_gone(*children)


def test_site_that_cannot_start_is_quoted(tmp_path: Path) -> None:
    with demo(tmp_path, stand_in="raise SystemExit('settings are wrong')") as process:
        code, out, err = ends(process)
    assert (code, out) == (1, "")
    assert err == "the site ended:\nsettings are wrong\n"


def test_preparation_that_fails_is_quoted(tmp_path: Path) -> None:
    with demo(tmp_path, prepare="raise SystemExit('no such table')") as process:
        code, _, err = ends(process)
    assert (code, err) == (1, "prepare failed:\nno such table\n")


def test_busy_port_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with demo(tmp_path, PORT=port) as process:
            code, out, err = ends(process)
    assert (code, out) == (1, "")
    assert err == f"port {port} is busy: choose another, PORT=8001\n"


@pytest.mark.parametrize("place", ["/proc/demo", "file/demo", "file"])
def test_folder_that_takes_no_files_is_one_line(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    with demo(tmp_path / place) as process:
        code, out, err = ends(process)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith("cannot write to ")


def test_damaged_secrets_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "secrets.json").write_text("{}")
    with demo(tmp_path) as process:
        code, _, err = ends(process)
    assert (code, err.count("\n")) == (1, 1)


def test_demo_runs_without_terminal_or_open_streams(tmp_path: Path) -> None:
    settings = {**os.environ, "DEMO_DIR": str(tmp_path), "PORT": str(reserved_port())}
    command = 'exec "$0" "$@" <&- >&- 2>&-'
    process = subprocess.Popen(
        ["/bin/sh", "-c", command, sys.executable, "-c", RUN, STAND_IN, ""],
        cwd=REPOSITORY,
        env=settings,
        start_new_session=True,
    )
    with process:
        try:
            url = f"http://127.0.0.1:{settings['PORT']}/livez"
            assert wait_until(lambda: answers(url))
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=60).ok
    except requests.ConnectionError:
        return False


# What it prepares


def test_secrets_are_for_this_user_alone(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "state")
    made = state.secrets()
    state.close()
    assert stat.S_IMODE(state.path.stat().st_mode) == 0o700
    assert stat.S_IMODE((state.path / "secrets.json").stat().st_mode) == 0o600
    assert min(len(made.secret_key), len(made.client_secret)) > 40


def test_busy_remembered_port_is_replaced_and_said(tmp_path: Path) -> None:
    said: list[str] = []
    state = StateFolder(tmp_path)
    first = state.ports(8000, said.append)
    assert state.ports(8000, said.append) == first
    assert said == []
    with socket.create_server(("127.0.0.1", first.provider)):
        second = state.ports(8000, said.append)
    state.close()
    assert second.upstream == first.upstream
    assert second.provider != first.provider
    assert str(first.provider) in said[0]


def test_lock_is_free_after_close(tmp_path: Path) -> None:
    StateFolder(tmp_path).close()
    StateFolder(tmp_path).close()


def test_environment_is_ours_alone(tmp_path: Path) -> None:
    caller = {
        "PATH": "/bin",
        "OIDC_ISSUER": "https://real.example",
        "OIDC_SCOPES": "x",
        "SECRET_KEY_FILE": "/run/secret",
        "REDIS_URL": "redis://production",
        "PROFILE_URL": "https://real.example",
        "TRUSTED_PROXIES": "10.0.0.0/8",
        "GUNICORN_CMD_ARGS": "--bind 0.0.0.0:80",
        "DJANGO_SETTINGS_MODULE": "elsewhere",
        "NO_PROXY": "intranet",
    }
    found = site.environment(
        caller,
        folder=tmp_path,
        ports=PORTS,
        secrets=Secrets("a", "b"),
        store_url="unix:///s",
    )
    lost = set(caller) - {"PATH", "OIDC_ISSUER", "REDIS_URL", "NO_PROXY"}
    assert lost.isdisjoint(found)
    assert found["OIDC_ISSUER"] == "http://127.0.0.1:20001"
    assert found["REDIS_URL"] == "unix:///s"
    assert found["NO_PROXY"] == "intranet,localhost,127.0.0.1"
    assert found["DATABASE_URL"] == f"sqlite:///{tmp_path}/db.sqlite3"


def test_routes_are_open_to_groups_of_the_cast() -> None:
    table = {each["name"]: each for each in tomllib.loads(site.routes(PORTS))["route"]}
    assert list(table) == ["members", "orders", "reports", "echo", "events"]
    assert table["members"]["upstream"] == "http://127.0.0.1:20002/v1/members"
    assert table["members"]["groups"] == ["support", "operations"]
    assert "groups" not in table["echo"]


def test_provider_is_told_both_names_of_the_site() -> None:
    [client] = site.clients(PORTS, Secrets("a", "b"))
    assert client["redirect_uris"] == [
        "http://localhost:8000/sso/complete/oidc/",
        "http://127.0.0.1:8000/sso/complete/oidc/",
    ]


@pytest.mark.parametrize("text", ["x", "0", "65536", "-1", "8000 ", "²"])
def test_port_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(DemoError, match="PORT"):
        site_port({"PORT": text})


def test_port_is_8000_unless_said() -> None:
    assert site_port({}) == site_port({"PORT": ""}) == 8000


def test_free_port_is_told_from_a_taken_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert not port_is_free(port)
    assert port_is_free(port)


def test_korean_text_takes_two_columns_a_letter() -> None:
    assert padded("김서연", 10) == "김서연    "
    assert padded("Grace", 10) == "Grace     "
    assert padded("too long", 3) == "too long "


def test_this_process_is_running_and_an_ended_one_is_not() -> None:
    with python("-c", "") as process:
        process.wait(PATIENCE)
    assert is_running(os.getpid())
    assert not is_running(process.pid)
