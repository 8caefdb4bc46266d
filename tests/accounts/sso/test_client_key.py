"""OID-24: this site proves who it is with a key, where the provider wants that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from django.test import Client as Browser
from pytest_django.fixtures import Settings

from accounts.sessions.store import SessionStore
from accounts.sso import discovery, keyset, renewal, renewal_queue
from accounts.sso.client_key import LIFE_SECONDS, ClientKey
from tests.accounts.sso.conftest import set_up
from tests.accounts.sso.test_strangers import assert_in, sign_in
from tests.conftest import Travel
from tests.fakes.keyed import Keyed

CURVE = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(65537, 2048)
RENEW = 60


def pem(private: Any, password: bytes = b"") -> str:
    encryption: serialization.KeySerializationEncryption = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    return str(private.private_bytes(*form).decode())


@pytest.fixture
def keyed(settings: Settings, store: redis.Redis, db: None) -> Iterator[Keyed]:
    keyed = Keyed("keyed-client", "", "http://localhost/sso/complete/oidc/")
    keyed.public = CURVE.public_key()
    set_up(
        settings,
        issuer=keyed.issuer,
        client_id=keyed.client_id,
        client_secret="",
        client_key=ClientKey.read(pem(CURVE)),
        renew_seconds=RENEW,
    )
    discovery.forget()
    keyset.forget()
    yield keyed
    keyed.stop()


def test_sign_in_proves_itself_for_the_issuer_alone(keyed: Keyed) -> None:
    assert_in(keyed)
    (proof,) = keyed.proofs
    assert proof["aud"] == keyed.issuer
    assert proof["exp"] - proof["iat"] <= LIFE_SECONDS
    assert keyed.headers == [{"alg": "ES256", "typ": "JWT"}]


def test_rsa_key_signs_with_rs256_under_its_name(
    keyed: Keyed, settings: Settings
) -> None:
    keyed.public, keyed.accepted = RSA.public_key(), "RS256"
    set_up(settings, client_key=ClientKey.read(pem(RSA), "key-2026"))
    assert_in(keyed)
    assert keyed.headers == [{"alg": "RS256", "typ": "JWT", "kid": "key-2026"}]


def test_audience_that_was_set_is_the_one(keyed: Keyed, settings: Settings) -> None:
    keyed.audience = f"{keyed.issuer}/token"
    set_up(settings, client_audience=keyed.audience)
    assert_in(keyed)


def test_key_of_somebody_else_is_noticed_by_the_provider(keyed: Keyed) -> None:
    """That the provider of these tests looks at all."""
    keyed.public = ec.generate_private_key(ec.SECP256R1()).public_key()
    sign_in(keyed)
    assert keyed.refused == ["assertion: Signature verification failed"]


def test_renewal_and_revocation_bring_a_proof_of_their_own(
    keyed: Keyed, travel: Travel
) -> None:
    browser = Browser()
    sign_in(keyed, browser)
    record = SessionStore(browser.cookies["session_id"].value).record
    assert record is not None
    travel.shift(RENEW + 1)
    assert renewal.renew(record.id) == renewal.Result.RENEWED
    browser.post("/sign-out/")
    assert renewal_queue.wait_until_idle()
    assert len(keyed.revoked) == 1
    assert len({proof["jti"] for proof in keyed.proofs}) == 3
    assert keyed.refused == []


UNFIT: dict[str, tuple[Callable[[], str], str]] = {
    "nonsense": (lambda: "not a key", "no private key in PEM"),
    "locked": (lambda: pem(CURVE, b"password"), "has a password"),
    "ed25519": (lambda: pem(ed25519.Ed25519PrivateKey.generate()), "must be EC"),
    "p384": (lambda: pem(ec.generate_private_key(ec.SECP384R1())), "must be EC"),
    "short": (lambda: pem(rsa.generate_private_key(65537, 1024)), "2048"),  # noqa: S505
}


@pytest.mark.parametrize(("make", "why"), UNFIT.values(), ids=UNFIT)
def test_key_that_will_not_do_is_refused(make: Callable[[], str], why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        ClientKey.read(make())
    assert "BEGIN" not in str(caught.value)


def test_key_is_not_shown(keyed: Keyed, settings: Settings) -> None:
    assert "private" not in repr(settings.PROVIDERS[0].client_key)
