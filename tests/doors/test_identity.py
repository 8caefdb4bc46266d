"""Who is calling, as upstreams learn it: from us alone, at each door."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
import pytest
import requests
from pytest_django.fixtures import Settings

from backoffice.proxy.identity_token import ALGORITHM, key_set
from tests.doors.house import Door, House, proof
from tests.doors.server import running_nginx

OURS = (
    *("X-Staff-Sub", "X-Staff-User", "X-Staff-Name", "X-Staff-Email"),
    *("X-Staff-Department", "X-Staff-Groups", "X-Staff-Token", "X-Session-Id"),
    *("X-Request-Id", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Gate"),
)


def spellings(name: str) -> Iterator[str]:
    first, rest = name.split("-", 1)
    yield from (name, name.lower(), name.upper(), name.swapcase())
    yield name.replace("-", "_")
    yield f"{first}_{rest}"
    yield f"{first}-{rest.replace('-', '_')}" if "-" in rest else f"{first}_{rest}"


@pytest.mark.parametrize("target", ["echo/", "signed/", "kept/"])
@pytest.mark.parametrize("name", OURS)
def test_no_spelling_of_a_field_of_ours_gets_through(
    door: Door, lasting_key: str, name: str, target: str
) -> None:
    if door.name == "embedded" and name == "X-Forwarded-Proto":
        pytest.skip("we are on its list of proxies")
    claims = [f"{spelling}: boss" for spelling in spellings(name)]
    answer = door.ask(f"/api/proxy/{target}", *claims, key=lasting_key)
    assert answer.status == 200
    assert b"boss" not in door.house.upstream.last.head


def test_what_follows_a_body_in_chunks_gets_through_no_more(
    door: Door, lasting_key: str
) -> None:
    """Trailers (RFC 9112, 7.1.2): some servers put them among the fields."""
    fields = *proof(door), "Transfer-Encoding: chunked", "Trailer: X-Staff-Sub"
    trailers = b"X-Staff-Sub: boss\r\nX_Staff_User: boss\r\nX-Gate: boss\r\n"
    body = b"4\r\nbody\r\n0\r\n" + trailers + b"\r\n"
    target = "/api/proxy/echo/"
    answer = door.ask(target, *fields, key=lasting_key, method="POST", body=body)
    last = door.house.upstream.last
    assert answer.status == 200
    assert b"body" in last.body
    assert b"boss" not in last.head + last.body


def claims_of(door: Door, key: str, keys: dict[str, Any]) -> dict[str, Any]:
    """What the token says that an upstream gets, its signature checked."""
    assert door.ask("/api/proxy/signed/", key=key).status == 200
    (token,) = door.house.upstream.last.all("X-Staff-Token")
    known = jwt.PyJWKSet.from_dict(keys)
    found: dict[str, Any] = jwt.decode(
        token,
        known[jwt.get_unverified_header(token)["kid"]].key,
        algorithms=[ALGORITHM],
        audience="signed",
        issuer=door.house.site.url,
    )
    return found


def test_a_token_names_the_session_and_the_keys_are_public_at_each_door(
    door: Door, lasting_key: str
) -> None:
    door.ask("/api/proxy/echo/", key=lasting_key)
    last = door.house.upstream.last
    keys = requests.get(f"{door.url}/.well-known/jwks.json", timeout=60)
    claims = claims_of(door, lasting_key, keys.json())
    assert claims["sid"] == last.get("X-Session-Id")
    assert claims["groups"] == str(last.get("X-Staff-Groups")).split(",")


def test_a_rotated_secret_signs_anew_at_nginx_and_ends_no_session(
    house: House, key: str, tmp_path: Path, settings: Settings
) -> None:
    old = house.site.environment["SECRET_KEY"]
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "a-new-secret-" * 4, []
    changes = {"SECRET_KEY": settings.SECRET_KEY, "SECRET_KEY_FALLBACKS": old}
    rotated = replace(house.site, environment=house.site.environment | changes)
    with running_nginx(rotated, tmp_path, "script") as address:
        door = Door(replace(house, site=rotated), "script", address)
        assert claims_of(door, key, key_set())["sub"] == "demo-1003"
