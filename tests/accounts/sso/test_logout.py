"""Signing out from our side: RPL-01 to RPL-06; what a session leaves behind."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest
import redis
from django.db import connection
from django.http import HttpResponse
from pytest_django.fixtures import Settings

from accounts import keys
from accounts.sso import discovery
from accounts.sso.logout import provider_sign_out
from accounts.sso.sign_in import MAX_HINT
from backoffice.demo.provider import Provider
from tests.accounts.sso.person import Person

ALONE = "/signed-out/?here-only"


def sign_out(person: Person) -> HttpResponse:
    answer: HttpResponse = person.site.post("/sign-out/")
    return answer


def test_session_is_over_here_before_the_provider_is_asked(
    person: Person, idp: Provider, store: redis.Redis
) -> None:
    """RPL-01."""
    person.sign_in()
    name = keys.value(keys.session_id(str(person.session_key)))
    assert store.exists(name)
    address = sign_out(person)["Location"]
    assert not store.exists(name)
    assert "/end_session" in address
    assert idp.sessions


def test_hint_client_and_registered_address_are_sent(person: Person) -> None:
    """RPL-02."""
    person.sign_in()
    token = person.session["sign_in"]["id_token"]
    asked = parse_qs(urlsplit(sign_out(person)["Location"]).query)
    assert asked["id_token_hint"] == [token]
    assert asked["client_id"] == ["backoffice"]
    assert asked["post_logout_redirect_uri"] == ["http://localhost/signed-out/"]
    assert len(asked["state"][0]) >= 32


def test_state_is_new_each_time_and_only_in_the_browsers_own_cookie(
    person: Person,
) -> None:
    """RPL-03."""
    states = set()
    for _ in range(2):
        person.sign_in()
        answer = sign_out(person)
        cookie = answer.cookies["signed_out_state"]
        assert (cookie["path"], cookie["httponly"]) == ("/signed-out/", True)
        states.add(cookie.value)
    assert len(states) == 2


@pytest.mark.parametrize("endpoint", ["discovery", None])
@pytest.mark.parametrize("fault", ["status-500", "html", "redirect"])
def test_sign_out_works_when_the_provider_does_not(
    person: Person, idp: Provider, fault: str, endpoint: str | None
) -> None:
    """RPL-04."""
    person.sign_in()
    discovery.forget()
    idp.faults.add(fault, endpoint=endpoint)
    assert sign_out(person)["Location"] == ALONE
    assert person.signed_in_as is None
    assert b"could not be told" in person.site.get(ALONE).content


def test_sign_out_works_when_the_provider_is_gone(
    person: Person, idp: Provider
) -> None:
    """RPL-04."""
    person.sign_in()
    discovery.forget()
    idp.stop()
    try:
        assert sign_out(person)["Location"] == ALONE
    finally:
        idp.start()
    assert person.signed_in_as is None


@pytest.mark.parametrize("token", ["", "x" * (MAX_HINT + 1)])
def test_sign_out_without_a_hint_that_could_be_sent(
    person: Person, idp: Provider, token: str
) -> None:
    """RPL-05."""
    person.sign_in()
    request = person.site.get("/signed-out/").wsgi_request
    found = {"provider": "oidc", "issuer": idp.issuer, "id_token": token}
    address, state = provider_sign_out(request, found)
    asked = parse_qs(urlsplit(address).query)
    assert "id_token_hint" not in asked
    assert asked["state"] == [state]


def test_provider_without_end_session_endpoint(
    person: Person, idp: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RPL-06."""
    without = tuple(n for n in discovery.ENDPOINTS if n != "end_session_endpoint")
    monkeypatch.setattr(discovery, "ENDPOINTS", without)
    person.sign_in()
    for document in discovery._documents.values():
        assert document._value is not None
        document._value.pop("end_session_endpoint")
    assert sign_out(person)["Location"] == ALONE


def test_sign_out_is_a_post_and_says_to_clear_up(person: Person) -> None:
    """COO-09."""
    person.sign_in()
    key = person.session_key
    assert person.site.get("/sign-out/").status_code == 405
    assert person.session_key == key
    answer = sign_out(person)
    assert answer["Clear-Site-Data"] == '"cache", "storage"'
    assert answer.cookies["session_id"].value == ""
    assert "no-store" in answer["Cache-Control"]


def test_sign_out_of_nobody_is_no_error(person: Person) -> None:
    assert sign_out(person)["Location"] == ALONE


# What is left -------------------------------------------------------------------------


def everything_in_sql() -> str:
    connection.ensure_connection()
    raw: sqlite3.Connection = connection.connection
    return "\n".join(raw.iterdump())


def everything_in(store: redis.Redis) -> bytes:
    found = []
    for name in store.scan_iter():
        found.append(name)
        kind = store.type(name)
        if kind == b"string":
            found.append(store.get(name) or b"")
        elif kind == b"zset":
            found += store.zrange(name, 0, -1)
        elif kind == b"hash":
            found += [part for pair in store.hgetall(name).items() for part in pair]
        elif kind in {b"set", b"list", b"stream"}:
            raise AssertionError(f"{name!r} is of a kind that is not looked into")
    return b"\n".join(found)


def test_no_token_of_the_provider_is_in_clear_anywhere(
    person: Person, idp: Provider, settings: Settings, store: redis.Redis
) -> None:
    """OID-22, BCL-15: neither while signed in nor after."""
    first = settings.PROVIDERS[0]
    settings.PROVIDERS = (replace(first, scopes=("offline_access",)),)
    back = person.callback()
    code = parse_qs(urlsplit(back).query)["code"][0]
    person.come_back(back)
    tokens = [*idp.state._access, *idp.state._refresh]
    hint = person.session["sign_in"]["id_token"]
    assert len(tokens) >= 2
    for is_signed_in in (True, False):
        sql, kept = everything_in_sql(), everything_in(store)
        for secret in [*tokens, hint, hint.rpartition(".")[2], code, "eyJ"]:
            assert secret not in sql
            assert secret.encode() not in kept
        if is_signed_in:
            sign_out(person)
    assert person.signed_in_as is None
