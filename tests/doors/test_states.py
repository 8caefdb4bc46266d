"""Whatever a session or its person has become, each door knows it at the next call."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

import pytest
import redis

from backoffice.proxy.errors import Refusal
from tests.doors.conftest import fresh_key
from tests.doors.house import Answer, Door, read_until, websocket
from tests.doors.test_contract import is_refused
from tests.doors.test_kills import AT_MOST_SECONDS, end_person, name_of
from tests.fakes.upstream import Talk, answer
from tests.journeys.site import FINANCE, SUPPORT, Browser
from tests.waiting import wait_until

TARGET = "/api/proxy/echo/"
ROUTES = ("echo/", "reports/", "crm/admin/x", "signed/", "kept/", "absent/", "")


def nobody(door: Door) -> str | None:
    return None


def unknown(door: Door) -> str:
    return "a" * 32


def of_nobody(door: Door) -> str:
    """A session in which nobody has signed in."""
    code = (
        "from accounts.sessions.store import SessionStore\n"
        "made = SessionStore()\n"
        "made['x'] = 1\n"
        "made.save()\n"
        "print(made.session_key)"
    )
    printed = door.house.site.manage("shell", "--no-imports", "-c", code).stdout
    return str(printed.split()[-1])


def expired(door: Door) -> str:
    key = fresh_key(door.house)
    door.ask(TARGET, key=key)
    identifier = str(door.house.upstream.last.get("X-Session-Id"))
    store = redis.Redis.from_url(door.house.site.store.url)
    store.pexpire(f"bo:{{{identifier[0]}}}:s:{identifier}", 1)
    assert wait_until(
        lambda: not store.exists(f"bo:{{{identifier[0]}}}:s:{identifier}")
    )
    store.close()
    return key


def killed(door: Door) -> str:
    key = fresh_key(door.house)
    end_person(door, name_of(door, key))
    return key


def signed_out(door: Door) -> str:
    browser = signed_in(door)
    key = str(browser.session_key)
    page = browser.submit(browser.get("/"), "/sign-out/")
    assert page.ok
    return key


def of_a_person_once_suspended(door: Door) -> str:
    key = fresh_key(door.house)
    name = name_of(door, key)
    door.house.site.manage("suspend_user", name, "--reason", "tested")
    door.house.site.manage("restore_user", name, "--reason", "tested")
    return key


STATES = [
    *(nobody, unknown, of_nobody, expired, killed, signed_out),
    of_a_person_once_suspended,
]


@pytest.mark.parametrize("state", STATES)
def test_no_route_is_reached_without_a_live_session(
    door: Door, state: Callable[[Door], str | None]
) -> None:
    key = state(door)
    seen = door.seen
    for route in ROUTES:
        found = door.ask(f"/api/proxy/{route}", key=key)
        assert (found.status, found.word) == (401, Refusal.NO_SESSION.word), route
        assert not found.all("Set-Cookie")
    assert door.seen == seen


@pytest.mark.parametrize(
    ("person", "passing"),
    [
        (SUPPORT, {"echo/", "signed/", "kept/"}),
        (FINANCE, {"echo/", "signed/", "kept/", "reports/", "crm/admin/x"}),
    ],
)
def test_a_live_session_reaches_the_routes_of_its_groups_alone(
    door: Door, person: str, passing: set[str]
) -> None:
    key = fresh_key(door.house, person)
    found = {route: door.ask(f"/api/proxy/{route}", key=key) for route in ROUTES}
    assert {route for route, one in found.items() if one.status == 200} == passing
    refused = {one.status for one in found.values()} - {200}
    assert refused <= {403, 404}


def test_a_route_whose_writes_are_off_takes_none(door: Door, key: str) -> None:
    found = door.ask("/api/proxy/halted/", key=key, method="POST")
    assert is_refused(found, Refusal.NO_METHOD)
    assert found.all("Allow") == ["GET, HEAD"]


def test_no_session_outlives_its_absolute_limit(door: Door) -> None:
    """Also not when somebody who can write to the store pushes its expiry on."""
    # On a busy machine a short one may be over before the door is asked.
    for seconds in (2, 8, 32):
        key, identifier = short_session(door, seconds)
        if door.ask(TARGET, key=key).status == 200:
            break
    else:
        pytest.fail("no session lived long enough to be asked about")
    store = redis.Redis.from_url(door.house.site.store.url)
    name = f"bo:{{{identifier[0]}}}:s:{identifier}"
    store.pexpireat(name, int(time.time() * 1000) + 50_000)
    assert wait_until(lambda: door.ask(TARGET, key=key).status == 401)
    assert store.exists(name)
    store.close()


def short_session(door: Door, seconds: int) -> tuple[str, str]:
    """A session whose absolute limit is near: its key and its id."""
    code = (
        "from django.conf import settings\n"
        f"settings.SESSION_ABSOLUTE_SECONDS = {seconds}\n"
        f"settings.SESSION_IDLE_SECONDS = {seconds}\n"
        "from tests.accounts.sessions.conftest import begin\n"
        "made = begin()\n"
        "print(made.session_key, made.session_id)"
    )
    printed = door.house.site.manage("shell", "--no-imports", "-c", code).stdout
    key, identifier = printed.split()[-2:]
    return key, identifier


# What is under way ----------------------------------------------------------


def test_a_kill_ends_a_call_that_waits_for_its_answer(door: Door, key: str) -> None:
    """The rule (docs/architecture.md): 401 before the first byte at door 1, an end
    of the connection at the others, and never the upstream's answer."""
    user = name_of(door, key)
    asked = threading.Event()

    def late(talk: Talk) -> None:
        asked.set()
        if not talk.is_gone(within=60):
            talk.say(answer(body=b"too late"))

    target = f"/api/proxy/echo/{door.act(late)}"
    found: list[Answer] = []
    thread = threading.Thread(target=lambda: found.append(door.ask(target, key=key)))
    thread.start()
    assert asked.wait(60)
    end_person(door, user)
    killed_at = time.monotonic()
    thread.join(60)
    assert time.monotonic() - killed_at < AT_MOST_SECONDS
    assert found[0].status == (401 if door.name == "embedded" else 0)
    assert door.ask(TARGET, key=key).status == 401


def test_a_kill_ends_an_upload_that_has_stalled(door: Door, key: str) -> None:
    user = name_of(door, key)
    head = (
        f"POST /api/proxy/bulk/x HTTP/1.1\r\nHost: {door.host}\r\n"
        f"Cookie: session_id={key}\r\nX-Backoffice: 1\r\n"
        f"Origin: http://{door.host}\r\nContent-Length: 100000\r\n\r\n"
    )
    with door.connect() as sock:
        sock.sendall(head.encode() + b"x" * 1000)
        time.sleep(0.5)
        end_person(door, user)
        killed_at = time.monotonic()
        read_until(sock, b"\r\n\r\nnever")
        assert time.monotonic() - killed_at < AT_MOST_SECONDS


def test_a_kill_ends_a_download_that_nobody_reads(door: Door, key: str) -> None:
    user, begun, gone = name_of(door, key), threading.Event(), threading.Event()

    def endless(talk: Talk) -> None:
        talk.say(b"HTTP/1.1 200 OK\r\nContent-Length: 9000000000\r\n\r\n")
        with suppress(OSError):
            while True:
                talk.say(b"x" * 65536)
                begun.set()
        gone.set()

    with door.open(f"/api/proxy/echo/{door.act(endless)}", key):
        assert begun.wait(60)
        end_person(door, user)
        killed_at = time.monotonic()
        assert gone.wait(60)
        assert time.monotonic() - killed_at < AT_MOST_SECONDS


def test_a_websocket_of_the_wrong_group_is_refused(door: Door, key: str) -> None:
    fields = websocket(door)
    found = door.ask("/api/proxy/reports/ws", *fields, key=key)
    assert is_refused(found, Refusal.NOT_ALLOWED)


def signed_in(door: Door, person: str = SUPPORT) -> Browser:
    browser = door.house.site.browser()
    browser.sign_in(person)
    return browser
