from __future__ import annotations

import pytest
import redis
from django.db import DatabaseError
from django.http import HttpResponse
from django.test import Client
from pytest_django.fixtures import Settings

from accounts import keys
from accounts.models import Revocation
from accounts.sessions import ledger
from accounts.sessions.store import TOUCH_SECONDS
from backoffice.proxy.errands import CHECKS, FENCE, LIVE, USE
from backoffice.proxy.errors import GATE_HEADER, Refusal
from tests.accounts.sessions.conftest import begin, is_live
from tests.conftest import Travel

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]


@pytest.fixture(autouse=True)
def _trusted(settings: Settings) -> None:
    settings.TRUSTED_PROXIES = ["127.0.0.1"]


def is_refused(response: HttpResponse, refusal: Refusal) -> bool:
    return (response.status_code, response[GATE_HEADER]) == (
        refusal.status,
        refusal.word,
    )


def test_fence_names_the_store_it_was_done_for(
    client: Client, store: redis.Redis
) -> None:
    response = client.post(FENCE)
    run_id = store.info("server")["run_id"]
    history = store.info("replication")["master_replid"]
    assert response.json() == {"identity": f"{run_id}-{history}"}


def test_fence_replays_also_when_it_stands(client: Client) -> None:
    session = begin()
    assert client.post(FENCE).status_code == 200
    identifier = str(session.session_id)
    kind = Revocation.Kind.SESSION
    ledger.write([ledger.draft(kind, identifier, by="a test", reason="")])
    assert is_live(session)
    assert client.post(FENCE).status_code == 200
    assert not is_live(session)


def test_fence_without_the_ledger_names_no_store(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(**_: object) -> None:
        raise DatabaseError

    monkeypatch.setattr(Revocation.objects, "filter", away)
    assert is_refused(client.post(FENCE), Refusal.STORE_DOWN)


def test_fence_without_the_store_is_503(client: Client, settings: Settings) -> None:
    options = settings.CACHES["sessions"]
    changed = {**options, "LOCATION": "redis://127.0.0.1:1/0"}
    settings.CACHES = {**settings.CACHES, "sessions": changed}
    assert is_refused(client.post(FENCE), Refusal.STORE_DOWN)


def test_use_moves_the_expiry(
    client: Client, store: redis.Redis, travel: Travel
) -> None:
    session = begin()
    client.cookies["session_id"] = str(session.session_key)
    name = keys.value(str(session.session_id))
    before = store.pexpiretime(name)
    travel.shift(TOUCH_SECONDS + 1)
    assert client.post(LIVE).status_code == 204
    assert store.pexpiretime(name) == before
    assert client.post(USE).status_code == 204
    assert store.pexpiretime(name) > before


def test_use_that_the_store_does_not_take_is_503(
    client: Client, store: redis.Redis, travel: Travel
) -> None:
    client.cookies["session_id"] = str(begin().session_key)
    travel.shift(TOUCH_SECONDS + 1)
    try:
        store.config_set("min-replicas-to-write", 1)
        assert is_refused(client.post(USE), Refusal.STORE_DOWN)
    finally:
        store.config_set("min-replicas-to-write", 0)
    assert client.post(USE).status_code == 204


@pytest.mark.parametrize("errand", [USE, LIVE])
def test_without_a_live_session_it_is_401(client: Client, errand: str) -> None:
    assert is_refused(client.post(errand), Refusal.NO_SESSION)
    client.cookies["session_id"] = "a" * 32
    response = client.post(errand)
    assert is_refused(response, Refusal.NO_SESSION)
    assert not response.cookies


@pytest.mark.parametrize("errand", [FENCE, USE, CHECKS, LIVE])
def test_a_stranger_is_not_served(
    client: Client, settings: Settings, errand: str
) -> None:
    settings.TRUSTED_PROXIES = ["10.0.0.0/8"]
    assert is_refused(client.post(errand), Refusal.NO_DOOR)


@pytest.mark.parametrize("errand", [FENCE, USE, CHECKS, LIVE])
def test_an_errand_is_a_post(client: Client, errand: str) -> None:
    assert is_refused(client.get(errand), Refusal.NO_METHOD)
