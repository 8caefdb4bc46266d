"""A store that is away, hangs or forgot is an outage at each door, never a sign-out and
never a way in."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from tests.doors.conftest import fresh_key
from tests.doors.house import Answer, Door, House, running_house
from tests.doors.test_kills import end_person, name_of
from tests.topology import wait_for_disk
from tests.waiting import wait_until

TARGET = "/api/proxy/echo/"
ALL_WORKERS = 12


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Servers that wait no longer than in production for what is away."""
    with running_house(tmp_path_factory.mktemp("outages"), is_hasty=True) as running:
        yield running


@contextmanager
def frozen(*pids: int | None) -> Iterator[None]:
    """Processes that are there and do nothing."""
    for pid in pids:
        os.kill(int(pid or 0), signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(int(pid or 0), signal.SIGCONT)


@contextmanager
def down(door: Door) -> Iterator[None]:
    door.house.site.store.kill()
    try:
        yield
    finally:
        door.house.site.store.start()


def is_an_outage(answer: Answer) -> bool:
    return (answer.status, answer.word) == (503, "store-down") and (
        answer.all("Retry-After") == ["1"] and not answer.all("Set-Cookie")
    )


def settled(door: Door, key: str) -> int:
    """The door's answer once it judges again, and all processes of the site as well."""
    both = (door.house.door("embedded"), door)
    found: set[int] = set()

    def all_judge() -> bool:
        site, here = (statuses(each, key) for each in both)
        found.clear()
        found.update(here)
        return 503 not in site | here

    assert wait_until(all_judge)
    (status,) = found
    return status


def statuses(door: Door, key: str) -> set[int]:
    """What calls get that are made at the same time."""
    with ThreadPoolExecutor(ALL_WORKERS) as callers:
        asked = [callers.submit(door.ask, TARGET, key=key) for _ in range(ALL_WORKERS)]
        return {call.result().status for call in asked}


def test_a_dead_store_is_503_and_the_cookie_lives_on(door: Door, key: str) -> None:
    assert settled(door, key) == 200
    with down(door):
        seen = door.seen
        answers = [door.ask(TARGET, key=key) for _ in range(ALL_WORKERS)]
        assert all(map(is_an_outage, answers))
        assert door.seen == seen
    assert settled(door, key) == 200


def test_a_hanging_store_is_503_within_a_second_or_so(door: Door, key: str) -> None:
    assert settled(door, key) == 200
    with frozen(door.house.site.store.pid):
        answers = [door.ask(TARGET, key=key) for _ in range(3)]
    assert all(map(is_an_outage, answers))
    assert settled(door, key) == 200


def test_a_malformed_cookie_needs_no_store(door: Door) -> None:
    with down(door):
        assert door.ask(TARGET, key="not-a-key").status == 401
    assert settled(door, fresh_key(door.house)) == 200


def test_a_kill_during_an_outage_holds_when_the_store_is_back(
    door: Door, key: str
) -> None:
    user = name_of(door, key)
    with frozen(door.house.site.store.pid):
        # So many at once that each worker of the site sees the outage for itself; one
        # that does not learns of the kill a little later (docs/decisions/0003).
        with ThreadPoolExecutor(64) as pool:
            answers = list(pool.map(lambda _: door.ask(TARGET, key=key), range(64)))
        assert all(map(is_an_outage, answers))
        door.house.site.manage("purge_sessions", "--user", user, "--yes", check=False)
    assert settled(door, key) == 401


def stop_and_forget(door: Door, key: str, folder: Path) -> None:
    """Kills the session; stops the store and gives it the files from before."""
    store = door.house.site.store
    user = name_of(door, key)
    store.stop()
    shutil.copytree(store.folder / "appendonlydir", folder)
    store.start()
    assert settled(door, key) == 200
    end_person(door, user)
    assert settled(door, key) == 401
    store.stop()
    shutil.rmtree(store.folder / "appendonlydir")
    shutil.copytree(folder, store.folder / "appendonlydir")


def test_a_store_that_forgot_a_kill_brings_nobody_back(
    door: Door, key: str, tmp_path: Path
) -> None:
    stop_and_forget(door, key, tmp_path / "yesterday")
    door.house.site.store.start()
    seen = door.seen
    statuses = {door.ask(TARGET, key=key).status for _ in range(ALL_WORKERS)}
    assert statuses <= {401, 503}
    assert settled(door, key) == 401
    assert door.seen == seen


def test_the_script_believes_no_new_store_until_the_ledger_was_replayed(
    house: House, key: str, tmp_path: Path
) -> None:
    door = house.door("script")
    stop_and_forget(door, key, tmp_path / "yesterday")
    with frozen(*site_processes(house)):
        house.site.store.start()
        answers = [door.ask(TARGET, key=key) for _ in range(ALL_WORKERS)]
        assert all(map(is_an_outage, answers))
    assert settled(door, key) == 401


def test_a_site_that_is_away_is_503_at_its_forward_auth(house: House, key: str) -> None:
    door = house.door("check")
    with frozen(*site_processes(house)):
        assert is_an_outage(door.ask(TARGET, key=key))
    assert settled(door, key) == 200


def test_the_script_needs_no_site(house: House, key: str) -> None:
    door = house.door("script")
    assert settled(door, key) == 200
    with frozen(*site_processes(house)):
        assert door.ask(TARGET, key=key).status == 200


def test_a_script_that_fails_lets_nobody_in(house: House, key: str) -> None:
    door = house.door("script")
    assert settled(door, key) == 200
    identifier = str(house.upstream.last.get("X-Session-Id"))
    name = f"bo:{{{identifier[0]}}}:s:{identifier}"
    code = (
        "from accounts.sessions.record import Record\n"
        "from accounts.sessions.connections import client\n"
        f"name, store = {name!r}, client()\n"
        f"found = Record.unseal({identifier!r}, store.get(name))\n"
        "found.data['profile']['groups'] = 5\n"
        "store.set(name, found.seal(), keepttl=True)"
    )
    house.site.manage("shell", "-c", code)
    seen = door.seen
    answer = door.ask(TARGET, key=key)
    assert (answer.status, answer.word) == (500, "failed")
    assert answer.all("Cache-Control") == ["no-store"]
    assert door.seen == seen
    with redis.Redis.from_url(house.site.store.url) as store:
        # Nobody can list such a session, or end it by its person.
        store.delete(name)


def test_one_restart_of_the_store_signs_nobody_out(door: Door, key: str) -> None:
    assert settled(door, key) == 200
    wait_for_disk(door.house.site.store)
    door.house.site.store.kill()
    door.house.site.store.start()
    assert settled(door, key) == 200


def site_processes(house: House) -> list[int]:
    """The site's web server and its workers, as the kernel lists them."""
    assert house.site.server
    pid = house.site.server.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *map(int, children)]
