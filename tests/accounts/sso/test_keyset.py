"""Which keys are believed, and how often the provider is asked for them."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlencode

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from django.test import Client
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from pytest_django.fixtures import Settings
from social_django.utils import load_backend, load_strategy

from accounts.sso import keyset
from accounts.sso.documents import (
    BURST,
    FRESH_SECONDS,
    GRACE_SECONDS,
    RENEW_SECONDS,
)
from accounts.sso.logout_token import EVENT
from backoffice.demo.provider import Provider
from tests.accounts.sso.conftest import set_up
from tests.accounts.sso.forger import KEYS, Forger
from tests.accounts.sso.person import Person, assert_refused, assert_signed_in
from tests.conftest import Travel

Log = pytest.LogCaptureFixture
ANSWER = {"kind": "provider-answer", "status": 502}
DOWN = {"kind": "provider-down", "status": 502}


def fetched(idp: Provider) -> int:
    return sum(asked.path == "/jwks" for asked in idp.requests)


def weak_key() -> dict[str, Any]:
    private = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505
    public = RSAAlgorithm.to_jwk(private.public_key(), as_dict=True)
    return {**public, "kid": "weak"}


@pytest.mark.parametrize(
    "spoiled",
    [
        {"use": "enc"},
        {"use": None},
        {"key_ops": ["encrypt"]},
        {"key_ops": None},
        {"kty": "of-tomorrow"},
        {"kty": None},
        {"n": "!"},
        {"n": 7},
        {"alg": "RSA-OAEP"},
        {"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"},
    ],
)
def test_key_that_cannot_be_used_is_left_out(spoiled: dict[str, Any]) -> None:
    good = KEYS[0].jwk()
    assert keyset.read({"keys": [{**good, **spoiled}, good, "text"]}, None) == [good]


def test_key_that_is_too_short_is_left_out() -> None:
    assert keyset.read({"keys": [weak_key()]}, None) == []


@pytest.mark.parametrize("published", [None, [], {}, {"keys": None}, {"keys": {}}])
def test_what_is_no_key_set_is_refused(published: Any) -> None:
    with pytest.raises(keyset.AuthResponseError):
        keyset.read(published, None)


def test_no_keys_at_all_is_refused(
    person: Person, idp: Provider, caplog: Log, settings: Settings
) -> None:
    idp.faults.add("jwks-empty")
    answer = person.sign_in()
    assert_refused(answer, person, caplog, **ANSWER, why="invalid_signature")


def test_encryption_key_of_the_same_name_is_not_tried(
    person: Person, forger: Forger, caplog: Log
) -> None:
    forger.published = [{**KEYS[0].jwk(), "use": "enc"}]
    answer = person.sign_in()
    assert_refused(answer, person, caplog, **ANSWER, why="invalid_signature")


def test_unknown_key_is_looked_for_once_a_minute(
    person: Person, idp: Provider, travel: Travel
) -> None:
    person.sign_in()
    idp.faults.add("key-unknown")
    for _ in range(3):
        person.sign_in()
    assert fetched(idp) == 2
    travel.shift(RENEW_SECONDS + 1)
    person.sign_in()
    assert fetched(idp) == 3


def test_new_key_under_an_old_name_is_found(
    person: Person, another: Person, idp: Provider, forger: Forger
) -> None:
    person.sign_in()
    forger.keys = [type(KEYS[1])(KEYS[0].kid, KEYS[1].private)]
    assert_signed_in(another.sign_in(), another)
    assert fetched(idp) == 2


def test_key_that_was_withdrawn_stops_working_within_the_stated_time(
    person: Person, forger: Forger, travel: Travel
) -> None:
    person.sign_in()
    forger.published = [KEYS[1].jwk()]
    travel.shift(FRESH_SECONDS + 1)
    assert person.sign_in().status_code == 502


def test_known_keys_outlive_an_outage_for_the_grace_and_no_longer(
    person: Person, another: Person, idp: Provider, travel: Travel, caplog: Log
) -> None:
    person.sign_in()
    idp.faults.add("status-500", endpoint="jwks")
    travel.shift(FRESH_SECONDS + 1)
    assert_signed_in(person.sign_in(), person)
    travel.shift(GRACE_SECONDS)
    assert_refused(another.sign_in(), another, caplog, **DOWN, why="unavailable")


def test_algorithm_of_the_list_is_accepted(
    person: Person, idp: Provider, forger: Forger, settings: Settings
) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    public = ECAlgorithm.to_jwk(private.public_key(), as_dict=True)
    forger.published = [{**public, "kid": "curve"}]
    set_up(settings, algorithms=("RS256", "ES256"))
    forger.sign = lambda claims, **_: jwt.encode(  # type: ignore[method-assign]
        dict(claims), private, algorithm="ES256", headers={"kid": "curve"}
    )
    assert_signed_in(person.sign_in(), person)


def test_key_is_only_used_with_the_algorithm_it_was_published_for(
    person: Person, forger: Forger, settings: Settings, caplog: Log
) -> None:
    set_up(settings, algorithms=("RS256", "PS256"))
    forger.header = {"alg": "PS256"}
    answer = person.sign_in()
    assert_refused(answer, person, caplog, **ANSWER, why="invalid_signature")


def forge_logout(idp: Provider, kid: str) -> None:
    """Anybody can send this: in good order, but for the key."""
    claims = {
        "iss": idp.issuer,
        "aud": "backoffice",
        "iat": int(time.time()),
        "exp": int(time.time()) + 60,
        "jti": kid,
        "sid": "s-1",
        "events": {EVENT: {}},
    }
    header = {"kid": kid, "typ": "logout+jwt"}
    private = KEYS[2].private
    token = jwt.encode(claims, private, algorithm="RS256", headers=header)
    sent = Client().post(
        "/sso/backchannel-logout/",
        urlencode({"logout_token": token}),
        content_type="application/x-www-form-urlencoded",
    )
    assert sent.status_code == 400


@pytest.mark.parametrize("forged", [1, 200])
def test_key_that_is_new_after_forged_ones_signs_people_in_at_once(
    person: Person, another: Person, idp: Provider, forged: int
) -> None:
    assert_signed_in(person.sign_in(), person)
    for number in range(forged):
        forge_logout(idp, f"forged-{number}")
    assert 1 < fetched(idp) <= 1 + BURST
    idp.rotate_keys()
    idp.drop_old_keys()
    assert_signed_in(another.sign_in(), another)
    assert fetched(idp) <= 2 + BURST


def test_everybody_who_comes_back_while_a_new_key_is_fetched_gets_in(
    person: Person, idp: Provider
) -> None:
    """Of those, one fetches it. The others wait for that and not for a minute."""
    assert_signed_in(person.sign_in(), person)
    idp.rotate_keys()
    token = idp.state.keys.sign({"sub": "x"})
    idp.faults.add("late", endpoint="jwks", seconds=0.3)
    backend = load_backend(load_strategy(), "oidc", None)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: keyset.find_signer(backend, token), range(8)))
    assert None not in found
    assert fetched(idp) == 2
