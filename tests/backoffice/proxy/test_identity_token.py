from __future__ import annotations

import json
from typing import Any

import jwt
import pytest
import time_machine
from django.test import Client
from jwt import PyJWK, PyJWKSet
from pytest_django.fixtures import Settings

from backoffice.proxy.gate import GatePass
from backoffice.proxy.identity import TOKEN_HEADER, fields_for
from backoffice.proxy.identity_token import (
    ALGORITHM,
    LIFE_SECONDS,
    REUSE_SECONDS,
    identity_token,
    key_set,
)
from backoffice.proxy.key_set import PATH
from backoffice.proxy.route_values import Identity
from backoffice.proxy.routes import Route
from tests.backoffice.proxy.conftest import KIM, LEE
from tests.conftest import use_store

NOW = 1_800_000_005


def verified(token: str, audience: str = "members", **options: Any) -> dict[str, Any]:
    """The claims, as an upstream gets them with a library and our public keys."""
    kid = jwt.get_unverified_header(token)["kid"]
    key: PyJWK = PyJWKSet.from_dict(key_set())[kid]
    return jwt.decode(
        token, key, algorithms=[ALGORITHM], audience=audience, options=options
    )


@time_machine.travel(NOW, tick=False)
def test_an_upstream_learns_who_is_calling(settings: Settings) -> None:
    claims = verified(identity_token(KIM, "sid-1", "members"))
    assert claims == {
        "iss": settings.SITE_URL,
        "aud": "members",
        "iat": NOW - NOW % REUSE_SECONDS,
        "exp": NOW - NOW % REUSE_SECONDS + LIFE_SECONDS,
        "sub": KIM.sub,
        "sid": "sid-1",
        "preferred_username": KIM.username,
        "name": KIM.name,
        "email": KIM.email,
        "department": KIM.department,
        "groups": list(KIM.groups),
    }


def test_a_token_for_one_route_is_none_for_another() -> None:
    token = identity_token(KIM, "sid-1", "members")
    with pytest.raises(jwt.InvalidAudienceError):
        verified(token, "reports")


def test_a_token_is_over_within_a_minute() -> None:
    with time_machine.travel(NOW, tick=False):
        token = identity_token(KIM, "sid-1", "members")
    with (
        time_machine.travel(NOW + LIFE_SECONDS, tick=False),
        pytest.raises(jwt.ExpiredSignatureError),
    ):
        verified(token)


@pytest.mark.parametrize("later", [0, REUSE_SECONDS - 1])
def test_a_token_handed_out_is_still_good_for_long_enough(later: int) -> None:
    with time_machine.travel(NOW - NOW % REUSE_SECONDS + later, tick=False):
        claims = verified(identity_token(KIM, "sid-1", "members"))
        assert claims["exp"] - (NOW - NOW % REUSE_SECONDS + later) >= 50


def test_a_changed_byte_is_refused() -> None:
    head, claims, signature = identity_token(KIM, "sid-1", "members").split(".")
    other = "B" if signature[0] == "A" else "A"
    with pytest.raises(jwt.InvalidSignatureError):
        verified(f"{head}.{claims}.{other}{signature[1:]}")


def test_nobody_gets_anothers_token() -> None:
    kim, lee = (identity_token(one, "sid-1", "members") for one in (KIM, LEE))
    assert verified(kim)["preferred_username"] == "kim"
    assert verified(lee)["preferred_username"] == "lee"
    assert verified(identity_token(KIM, "sid-2", "members"))["sid"] == "sid-2"


def test_a_rotated_secret_is_a_rotated_key(settings: Settings) -> None:
    old = identity_token(KIM, "sid-1", "members")
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another secret " * 4
    new = identity_token(KIM, "sid-1", "members")
    assert verified(old)["sub"] == verified(new)["sub"]
    assert [key["kid"] for key in key_set()["keys"]] == [
        jwt.get_unverified_header(token)["kid"] for token in (new, old)
    ]
    settings.SECRET_KEY_FALLBACKS = []
    with pytest.raises(KeyError):
        verified(old)


@pytest.mark.parametrize(
    ("identity", "names"),
    [
        (Identity.NONE, set()),
        (Identity.TOKEN, {TOKEN_HEADER}),
    ],
)
def test_a_route_gets_the_identity_it_asked_for(
    identity: Identity, names: set[str]
) -> None:
    route = Route("members", "http://h", identity=identity, audience="crm")
    fields = fields_for(GatePass(KIM, "sid-1", route, "/"))
    assert set(fields) == names
    if fields:
        assert verified(fields[TOKEN_HEADER], "crm")["sub"] == KIM.sub


def test_the_keys_are_public_while_the_store_is_away(
    client: Client, settings: Settings
) -> None:
    use_store(settings, "redis://127.0.0.1:1/0")
    client.cookies["session_id"] = "a" * 32
    answer = client.get(PATH)
    assert (answer.status_code, answer.json()) == (200, key_set())
    assert answer["Cache-Control"].startswith("public, max-age=")
    assert not answer.cookies
    # Ed25519 alone: no private half and no secret in any form.
    assert all("d" not in key for key in answer.json()["keys"])
    assert settings.SECRET_KEY not in json.dumps(answer.json())


def test_nothing_else_is_answered_there(client: Client) -> None:
    assert client.get(f"{PATH}/x").status_code != 200
