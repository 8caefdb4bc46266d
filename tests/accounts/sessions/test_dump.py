"""P4: who reads the store, in any way there is, learns no key and nobody's name."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis
from django.test import Client
from pytest_django.fixtures import Settings

from accounts import keys
from accounts.models import User
from accounts.sessions import live
from accounts.sessions.store import SessionStore
from backoffice.demo.store import EmbeddedStore
from tests.accounts.sessions.conftest import ISSUER, PROFILE
from tests.accounts.sessions.test_live import refuse_sql
from tests.conftest import PATIENCE_SECONDS, use_store
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db

SID, ADDRESS, AGENT = "provider-sid-1", "203.0.113.77", "Mozilla/5.0 Rarebrowser"
ADMIN, REASON = "desk-admin", "stolen laptop"
LAST_WORD = "and nothing more"
NAMES = (*map(str, PROFILE.values()), *PROFILE["groups"], SID, ADDRESS, AGENT)
# Too short to mean anything where it is found.
SAID = {each for each in (*NAMES, ADMIN, REASON) if len(each) > 5}


@pytest.fixture
def own_store(tmp_path: Path, settings: Settings) -> Iterator[EmbeddedStore]:
    """Keeps both kinds of files, and nothing in them is compressed."""
    plain = ["--rdbcompression", "no", "--aof-use-rdb-preamble", "no"]
    with EmbeddedStore(tmp_path / "own", extra=plain) as server:
        use_store(settings, server.url, PATIENCE_SECONDS)
        yield server


class Eavesdropper:
    """Somebody with MONITOR, who reads along whatever the store is asked."""

    def __init__(self, server: EmbeddedStore) -> None:
        self.heard = b""
        self._sock = socket.socket(socket.AF_UNIX)
        self._sock.connect(str(server.socket))
        self._sock.sendall(b"MONITOR\r\n")
        threading.Thread(target=self._listen, daemon=True).start()
        assert wait_until(lambda: b"+OK" in self.heard)

    def _listen(self) -> None:
        with closing(self._sock):
            while data := self._sock.recv(65536):
                self.heard += data


def signed_in(user: User) -> SessionStore:
    session = SessionStore()
    sign_in = {"provider": "oidc", "sid": SID, "address": ADDRESS, "agent": AGENT}
    session.begin(
        {"profile": PROFILE, "sign_in": sign_in, "_auth_user_id": str(user.pk)},
        person=keys.person(ISSUER, user.sub),
        origin=keys.origin(ISSUER, SID),
    )
    session.save()
    return session


def a_whole_life(user: User, monkeypatch: pytest.MonkeyPatch) -> list[SessionStore]:
    """Sign-in, another device, a save, a rotation, a search, a kill without SQL."""
    session, victim = signed_in(user), signed_in(user)
    old_key = session.session_key
    client = Client()
    client.cookies["session_id"] = str(old_key)
    client.get("/api/proxy/x", HTTP_USER_AGENT="Opera/9 Otherbrowser")
    session = SessionStore(old_key)
    session["draft"] = PROFILE["email"]
    session.save()
    session.cycle_key()
    live.select(live.Selection(group="support", agent=AGENT))
    with monkeypatch.context() as away:
        refuse_sql(away)
        outcome = live.end([str(victim.session_id)], by=ADMIN, reason=REASON)
    assert (len(outcome.ended), outcome.durable) == (1, False)
    return [SessionStore(old_key), session, victim]


def written(text: str) -> list[bytes]:
    """As it would stand in a file, and as MONITOR would print it."""
    raw = text.encode()
    printed = "".join(chr(b) if b < 128 else f"\\x{b:02x}" for b in raw)
    return [raw, printed.encode()]


def test_files_and_monitor_hold_no_key_and_no_name(
    own_store: EmbeddedStore, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SES-18."""
    somebody = Eavesdropper(own_store)
    sessions = a_whole_life(user, monkeypatch)
    with redis.Redis.from_url(own_store.url) as store:
        store.save()
        store.echo(LAST_WORD)
    [rdb] = own_store.folder.glob("*.rdb")
    aof = b"".join(f.read_bytes() for f in own_store.folder.glob("appendonlydir/*"))
    assert wait_until(lambda: LAST_WORD.encode() in somebody.heard)
    secrets = SAID | {str(each.session_key) for each in sessions}
    for place in (rdb.read_bytes(), aof, somebody.heard):
        # What is searched is what was written: the public reference is in it.
        assert str(sessions[1].session_id).encode() in place
        found = [s for s in secrets for form in written(s) if form in place]
        assert found == []


def test_a_secret_in_clear_would_be_found(own_store: EmbeddedStore) -> None:
    """The test above can fail: what is stored in clear is seen in all three places."""
    somebody = Eavesdropper(own_store)
    with redis.Redis.from_url(own_store.url) as store:
        store.hset("h", "name", "김하늘")
        store.save()
        store.echo(LAST_WORD)
    [rdb] = own_store.folder.glob("*.rdb")
    aof = b"".join(f.read_bytes() for f in own_store.folder.glob("appendonlydir/*"))
    assert wait_until(lambda: LAST_WORD.encode() in somebody.heard)
    for place in (rdb.read_bytes(), aof, somebody.heard):
        assert any(form in place for form in written("김하늘"))
