"""What makes a session no session, as a call under /api/proxy/ meets it."""

from __future__ import annotations

import random

import pytest
import redis
from django.test import Client
from pytest_django.fixtures import Settings

from accounts import keys, suspension
from accounts.models import User
from accounts.sessions.store import SessionStore
from accounts.suspension import Person
from backoffice.proxy.errors import Refusal
from tests.accounts.sessions.conftest import sign_in
from tests.accounts.sessions.test_outages import GATED, gate_word, passes_gate
from tests.conftest import Travel

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

NO_SESSION = (401, Refusal.NO_SESSION.word)
FUZZ_ROUNDS = 300
# Pieces of which chance makes what no browser would send.
PIECES = (
    *("session_id", "Session_id", "__Host-session_id", "=", "==", ";", "; ", ",", " "),
    *('"', "'", "\\", "*", "?", "[a-z]", "\t", "\x7f", "%00", "%0d%0a", "$Path", "bo:"),
    *("é", "\u2028", "\xa0", "김", "a" * 32, "0" * 32, "A" * 32, "k" * 8192, "{i}"),
)


def refusal(client: Client) -> tuple[int, str]:
    return gate_word(client.get(GATED))


# The key ---------------------------------------------------------------------------


@pytest.mark.parametrize("place", range(32))
def test_key_with_any_character_changed_is_401(
    client: Client, user: User, place: int
) -> None:
    """SES-01."""
    key = str(sign_in(client, user).session_key)
    assert passes_gate(client)
    other = "a" if key[place] != "a" else "b"
    client.cookies["session_id"] = key[:place] + other + key[place + 1 :]
    assert refusal(client) == NO_SESSION


def test_keys_do_not_follow_from_what_anybody_could_know() -> None:
    """SES-02: 32 characters of 36, from the system's own source of chance."""
    found = set()
    for _ in range(200):
        random.seed(1)
        session = SessionStore()
        session.create()
        found.add(str(session.session_key))
    assert len(found) == 200
    assert all(keys.SESSION_KEY_FORM.fullmatch(key) for key in found)
    assert len({letter for key in found for letter in key}) == 36


def test_what_no_browser_sends_is_401_and_asks_the_store_nothing(
    client: Client, user: User, store: redis.Redis
) -> None:
    """SES-04."""
    sign_in(client, user)
    chance = random.Random(20261124)  # noqa: S311 - the same cookies each time
    key = SessionStore(client.cookies["session_id"].value).session_key or ""
    client.cookies.clear()
    before = asked(store)
    for _ in range(FUZZ_ROUNDS):
        parts = chance.choices((*PIECES, key), k=chance.randint(1, 8))
        header = "".join(parts)
        if is_proper(header):
            continue
        answer = client.get(GATED, HTTP_COOKIE=header)
        assert gate_word(answer) == NO_SESSION, header
        assert not answer.cookies
    assert asked(store) == before


def is_proper(header: str) -> bool:
    """Whether a browser might send this: one cookie of our name and form."""
    pairs = [part.partition("=") for part in header.split(";")]
    ours = [
        value.strip(" \t") for n, _, value in pairs if n.strip(" \t") == "session_id"
    ]
    return len(ours) == 1 and bool(keys.SESSION_KEY_FORM.fullmatch(ours[0]))


def asked(store: redis.Redis) -> dict[str, int]:
    """How often each command came, but for the one that tells it."""
    found = store.info("commandstats")
    return {n: facts["calls"] for n, facts in found.items() if n != "cmdstat_info"}


# The limits ------------------------------------------------------------------------


def test_unused_for_the_idle_limit_is_401(
    client: Client, user: User, travel: Travel, settings: Settings
) -> None:
    """SES-07: a second before it passes, a second after it does not."""
    settings.SESSION_IDLE_SECONDS = 15 * 60
    sign_in(client, user)
    travel.shift(15 * 60 - 1)
    assert passes_gate(client)
    travel.shift(15 * 60 + 1)
    assert refusal(client) == NO_SESSION


def test_busy_until_the_absolute_limit_is_401_after_it(
    client: Client, user: User, travel: Travel, settings: Settings, store: redis.Redis
) -> None:
    """SES-08: neither use nor saving moves it, and the store's expiry stays within."""
    settings.SESSION_ABSOLUTE_SECONDS = 3600
    session = sign_in(client, user)
    name = keys.value(str(session.session_id))
    for _ in range(5):
        travel.shift(700)
        assert passes_gate(client)
        busy = SessionStore(session.session_key)
        busy["again"] = True
        busy.save()
        assert busy.record
        assert store.pexpiretime(name) <= busy.record.ends * 1000
    travel.shift(99)
    assert passes_gate(client)
    travel.shift(2)
    assert refusal(client) == NO_SESSION


# The account -----------------------------------------------------------------------


@pytest.mark.parametrize("how", ["suspend", "delete"])
def test_account_that_is_gone_is_401_and_its_sessions_are_out_of_the_store(
    client: Client, user: User, store: redis.Redis, how: str
) -> None:
    """SES-11."""
    name = keys.value(str(sign_in(client, user).session_id))
    assert store.exists(name)
    if how == "suspend":
        suspension.suspend(Person.of(user), by="desk", reason="left")
    else:
        user.delete()
    assert refusal(client) == NO_SESSION
    assert not store.exists(name)


# What was planted ------------------------------------------------------------------


@pytest.mark.parametrize(
    "planted",
    [b"", b"{}", b"null", b"\x80\x04N.", b"\x01" * 60, b"x" * 1_000_000],
    ids=["empty", "json", "null", "pickle", "like-ours", "huge"],
)
def test_planted_value_is_401_and_one_log_line(
    client: Client,
    user: User,
    store: redis.Redis,
    caplog: pytest.LogCaptureFixture,
    planted: bytes,
) -> None:
    """R9."""
    session = sign_in(client, user)
    store.set(keys.value(str(session.session_id)), planted, keepttl=True)
    assert refusal(client) == NO_SESSION
    lines = [r.getMessage() for r in caplog.records]
    [line] = [line for line in lines if line.startswith("session_refused")]
    assert f"session_id={session.session_id} because=" in line
