"""Providers that are not like ours: what must be put up with, and what must not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import jwt
import pytest
import redis
import requests
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from django.http import HttpResponse
from django.test import Client as Browser
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from pytest_django.fixtures import Settings

from accounts.sessions.store import SessionStore
from accounts.sso import discovery, keyset
from backoffice.demo.provider_faults import ABSENT
from tests.accounts.sso.conftest import set_up
from tests.accounts.sso.forger import KEYS
from tests.fakes.stranger import SUB, Change, Instead, Stranger

Log = pytest.LogCaptureFixture


@pytest.fixture
def stranger(settings: Settings, store: redis.Redis, db: None) -> Iterator[Stranger]:
    stranger = Stranger(
        "strange-client", "strange-secret", "http://localhost/sso/complete/oidc/"
    )
    set_up(
        settings,
        issuer=stranger.issuer,
        client_id=stranger.client_id,
        client_secret=stranger.secret,
    )
    discovery.forget()
    keyset.forget()
    yield stranger
    stranger.stop()


def sign_in(stranger: Stranger, browser: Browser | None = None) -> HttpResponse:
    browser = browser or Browser()
    begun = browser.post("/sso/login/oidc/", {"next": "/"})
    if begun.status_code != 302:
        return begun
    back = requests.get(begun["Location"], allow_redirects=False, timeout=60)
    return browser.get(urlsplit(back.headers["Location"])._replace(netloc="").geturl())


def assert_in(stranger: Stranger) -> None:
    browser = Browser()
    answer = sign_in(stranger, browser)
    assert (answer.status_code, answer.get("Location")) == (302, "/")
    record = SessionStore(browser.cookies["session_id"].value).record
    assert record is not None
    assert record.data["profile"]["sub"] == SUB
    assert stranger.refused == []


def assert_out(stranger: Stranger) -> None:
    """A page of ours and no session, and never a fault of ours."""
    answer = sign_in(stranger)
    assert answer.status_code in {403, 502}
    assert b"<h1>" in answer.content


def test_strict_provider_has_nothing_to_complain_of(stranger: Stranger) -> None:
    assert_in(stranger)


@pytest.mark.parametrize(
    ("announced", "prompt"),
    [
        (ABSENT, "login"),
        (7, "login"),
        (["none"], "login"),
        (["select_account"], "select_account"),
    ],
)
def test_another_account_is_asked_for_in_words_the_provider_knows(
    stranger: Stranger, announced: Any, prompt: str
) -> None:
    stranger.discovery = {"prompt_values_supported": announced}
    begun = Browser().post("/sso/login/oidc/", {"account": "another"})
    assert f"prompt={prompt}&" in f"{begun['Location']}&"


# Oddities that do no harm -------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"expires_in": "300"},
        {"token_type": "bearer"},
        {"token_type": "BEARER"},
        {
            "scope": "openid",
            "not_before_policy": 0,
            "session_state": "x",
            "foo": {"a": []},
        },
        {"expires_in": ABSENT, "refresh_token": ABSENT},
    ],
)
def test_odd_token_answer_is_put_up_with(stranger: Stranger, change: Change) -> None:
    stranger.token_answer = change
    assert_in(stranger)


@pytest.mark.parametrize(
    "change",
    [
        {"name": ABSENT},
        {"name": ABSENT, "email": ABSENT},
        {"name": None, "email": None, "department": 7, "preferred_username": ["x"]},
        {"address": {"country": "KR"}, "picture": None, "updated_at": "yesterday"},
        {"iss": "https://elsewhere.example", "aud": "somebody", "exp": 1, "nonce": "x"},
        {
            "id_token": "eyJ",
            "access_token": "x",
            "refresh_token": "y",
            "token_type": "mac",
        },
        {"groups": ["staff", "staff", "부서"]},
    ],
)
def test_odd_userinfo_is_put_up_with(stranger: Stranger, change: Change) -> None:
    stranger.userinfo = change
    assert_in(stranger)


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": ["strange-client"]},
        {"azp": "strange-client"},
        {"nbf": 0, "jti": "7", "ver": "1.0", "tid": None},
        {"auth_time": "yesterday", "acr": 0, "amr": "pwd"},
        {"email": "x@example.com", "email_verified": "true", "name": "Kim"},
    ],
)
def test_odd_claims_are_put_up_with(stranger: Stranger, claims: dict[str, Any]) -> None:
    stranger.claims = claims
    assert_in(stranger)


@pytest.mark.parametrize(
    "content_type",
    ["application/json; charset=UTF-8", "text/plain", "application/jwk-set+json", ""],
)
def test_content_type_does_not_matter(stranger: Stranger, content_type: str) -> None:
    stranger.content_type = content_type
    assert_in(stranger)


@pytest.mark.parametrize(
    "changes",
    [
        {"token_endpoint_auth_methods_supported": ABSENT},
        {"token_endpoint_auth_methods_supported": None},
        {"end_session_endpoint": None, "revocation_endpoint": ""},
        {"end_session_endpoint": ""},
        {"claims_supported": None, "x_vendor": [1, {"a": 2}], "mtls": {"b": 1}},
        {"authorization_response_iss_parameter_supported": False},
    ],
)
def test_odd_description_is_put_up_with(
    stranger: Stranger, changes: dict[str, Any]
) -> None:
    stranger.discovery = changes
    assert_in(stranger)


def test_secret_goes_into_the_form_where_nothing_else_is_offered(
    stranger: Stranger,
) -> None:
    stranger.discovery = {
        "token_endpoint_auth_methods_supported": ["client_secret_post"]
    }
    sign_in(stranger)
    assert stranger.refused == [
        "client",
        "form ['client_id', 'client_secret', 'code', 'code_verifier', 'grant_type', "
        "'redirect_uri']",
    ]


def test_provider_without_userinfo_says_everything_in_the_id_token(
    stranger: Stranger,
) -> None:
    stranger.discovery = {"userinfo_endpoint": ABSENT}
    stranger.claims = {"groups": ["staff"], "name": "Kim"}
    assert_in(stranger)


def test_id_token_that_is_too_long_for_a_hint_is_not_kept(stranger: Stranger) -> None:
    stranger.claims = {"padding": "x" * 100_000}
    browser = Browser()
    assert sign_in(stranger, browser).status_code == 302
    record = SessionStore(browser.cookies["session_id"].value).record
    assert record is not None
    assert record.data["sign_in"]["id_token"] == ""


def test_more_groups_than_a_session_can_hold_end_on_a_page(stranger: Stranger) -> None:
    stranger.userinfo = {"groups": ["staff", *(f"group-{n}" for n in range(20_000))]}
    answer = sign_in(stranger)
    assert answer.status_code in {403, 502}
    assert b"<h1>" in answer.content


def test_profile_is_completed_from_the_id_token(stranger: Stranger) -> None:
    """As at Entra ID, whose UserInfo knows little."""
    stranger.userinfo = {"email": ABSENT, "groups": ABSENT}
    stranger.claims = {"groups": ["staff"], "preferred_username": "one@corp.example"}
    browser = Browser()
    sign_in(stranger, browser)
    record = SessionStore(browser.cookies["session_id"].value).record
    assert record is not None
    assert record.data["profile"]["username"] == "one@corp.example"


# Keys ---------------------------------------------------------------------------------

RSA = RSAAlgorithm.to_jwk(KEYS[0].private.public_key(), as_dict=True)
OTHER = RSAAlgorithm.to_jwk(KEYS[1].private.public_key(), as_dict=True)


@pytest.mark.parametrize(
    "keys",
    [
        [RSA],
        [OTHER, RSA],
        [{**RSA, "kid": "k", "use": "sig", "alg": "RS256"}],
        [{**RSA, "kid": "k", "key_ops": ["verify"], "x5t": "x", "x5c": ["MII"]}],
        [{**OTHER, "kid": "k"}, {**RSA, "kid": "k"}],
        [{"kid": "k", "use": "enc", "kty": "RSA", "n": "?"}, {**RSA, "kid": "k"}],
    ],
)
def test_odd_key_set_is_put_up_with(
    stranger: Stranger, keys: list[dict[str, Any]]
) -> None:
    stranger.keys = keys
    assert_in(stranger)


@pytest.mark.parametrize("typ", [None, "jwt", "JWT", "id_token+jwt"])
@pytest.mark.parametrize("kid", [None, "k"])
def test_odd_header_is_put_up_with(
    stranger: Stranger, typ: str | None, kid: str | None
) -> None:
    stranger.header = {"typ": typ, **({"kid": kid} if kid else {})}
    assert_in(stranger)


CURVE, EDWARDS = ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey
SIGNERS = {
    "ES256": (CURVE, ECAlgorithm.to_jwk(CURVE.public_key(), as_dict=True)),
    "EdDSA": (
        edwards := EDWARDS.generate(),
        OKPAlgorithm.to_jwk(edwards.public_key(), as_dict=True),
    ),
    "PS256": (KEYS[0].private, RSA),
    "RS512": (KEYS[0].private, RSA),
}


@pytest.mark.parametrize("algorithm", SIGNERS)
@pytest.mark.parametrize("is_listed", [True, False])
def test_other_algorithm_is_accepted_where_it_is_listed(
    stranger: Stranger, settings: Settings, algorithm: str, is_listed: bool
) -> None:
    stranger.private, public = SIGNERS[algorithm]
    stranger.algorithm, stranger.keys = algorithm, [{**public, "kid": "k"}]
    if is_listed:
        set_up(settings, algorithms=("RS256", algorithm))
        assert_in(stranger)
    else:
        assert_out(stranger)


@pytest.mark.parametrize("algorithm", [*SIGNERS, "RS256"])
@pytest.mark.parametrize("is_true", [True, False])
def test_at_hash_is_checked_with_every_algorithm(
    stranger: Stranger, settings: Settings, algorithm: str, is_true: bool
) -> None:
    stranger.private, public = SIGNERS.get(algorithm, (KEYS[0].private, RSA))
    stranger.algorithm, stranger.keys = algorithm, [{**public, "kid": "k"}]
    set_up(settings, algorithms=("RS256", algorithm))

    def hashed(said: dict[str, Any]) -> dict[str, Any]:
        nonce = jwt.decode(said["id_token"], options={"verify_signature": False})
        token = said["access_token"] if is_true else "another"
        like = {"EdDSA": "RS512"}.get(algorithm, algorithm)
        digest = jwt.get_algorithm_by_name(like).compute_hash_digest(token.encode())
        half = digest[: len(digest) // 2]
        stranger.claims = {"at_hash": jwt.utils.base64url_encode(half).decode()}
        return {**said, "id_token": stranger.sign(nonce["nonce"])}

    stranger.token_answer = hashed
    (assert_in if is_true else assert_out)(stranger)


# What must not be put up with ---------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"token_type": ABSENT},
        {"token_type": "mac"},
        {"token_type": ["Bearer"]},
        {"id_token": ABSENT},
        {"access_token": ABSENT},
        {"id_token": None},
        {"id_token": ["x"]},
        {"id_token": "x.y"},
        {"id_token": "x.y.z"},
        {"id_token": "..."},
        {"id_token": "\ud800"},
        {"access_token": 7},
        Instead([]),
        Instead(None),
        Instead("text"),
        Instead({"error": "server_error"}),
        Instead({"error": {"code": 7}}),
    ],
)
def test_token_answer_that_is_none_is_refused(
    stranger: Stranger, change: Change
) -> None:
    stranger.token_answer = change
    assert_out(stranger)


@pytest.mark.parametrize(
    "change",
    [
        {"sub": ABSENT},
        {"sub": None},
        {"sub": "somebody-else"},
        {"sub": 7},
        {"sub": [SUB]},
        {"sub": f"{SUB} "},
        {"groups": ABSENT},
        {"groups": "staff"},
        {"groups": None},
        {"groups": {"staff": True}},
        {"groups": [["staff"]]},
        {"groups": ["staff", 7]},
        {"groups": ["staff", ""]},
        {"groups": ["staff"], "_claim_names": {"groups": "src1"}},
        {"hasgroups": True},
        {"groups": []},
        {"groups": ["Staff"]},
        {"groups": ["staff "]},
        Instead([]),
        Instead(None),
        Instead("text"),
    ],
)
def test_userinfo_that_does_not_say_who_and_what_is_refused(
    stranger: Stranger, change: Change
) -> None:
    stranger.userinfo = change
    assert_out(stranger)


@pytest.mark.parametrize("claim", ["iss", "sub", "aud", "exp", "iat", "nonce"])
@pytest.mark.parametrize(
    "value",
    [ABSENT, None, True, 0, -1, 1e400, 10**200, "x", "", [], [None], {}, "\ud800"],
)
def test_forged_claim_is_refused_and_breaks_nothing(
    stranger: Stranger, claim: str, value: Any
) -> None:
    stranger.claims = {claim: value}
    assert_out(stranger)


@pytest.mark.parametrize(
    "claim",
    [
        "nbf",
        "azp",
        "at_hash",
        "auth_time",
        "acr",
        "amr",
        "sid",
        "groups",
        "_claim_names",
        "email",
    ],
)
@pytest.mark.parametrize("value", [None, True, 1e400, "x", [], {}, "\ud800"])
def test_odd_claim_breaks_nothing(stranger: Stranger, claim: str, value: Any) -> None:
    stranger.claims = {claim: value}
    assert sign_in(stranger).status_code in {302, 403, 502}


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": ABSENT},
        {"issuer": "http://127.0.0.1"},
        {"authorization_endpoint": ABSENT},
        {"authorization_endpoint": "http://idp.example/authorize"},
        {"token_endpoint": "ftp://127.0.0.1/token"},
        {"token_endpoint": ["x"]},
        {"jwks_uri": 7},
        {"jwks_uri": ABSENT},
        {"userinfo_endpoint": "http://169.254.169.254/"},
        {"token_endpoint_auth_methods_supported": 7},
        {"authorization_response_iss_parameter_supported": True},
    ],
)
def test_description_that_will_not_do_is_refused(
    stranger: Stranger, changes: dict[str, Any]
) -> None:
    stranger.discovery = changes
    assert_out(stranger)


@pytest.mark.parametrize(
    "keys",
    [
        [],
        [OTHER],
        [{**RSA, "kid": "k", "use": "enc"}],
        [{**RSA, "kid": "other"}],
        [{**RSA, "kid": "k", "alg": "PS256"}],
        [{"kty": "oct", "kid": "k", "k": "c2VjcmV0"}],
    ],
)
def test_key_set_without_the_key_is_refused(
    stranger: Stranger, keys: list[dict[str, Any]]
) -> None:
    stranger.keys = keys
    assert_out(stranger)


def test_key_that_can_be_factored_is_refused(stranger: Stranger) -> None:
    weak = rsa.generate_private_key(65537, 1024)  # noqa: S505 - that is the point
    stranger.private = weak
    public = RSAAlgorithm.to_jwk(weak.public_key(), as_dict=True)
    stranger.keys = [{**public, "kid": "k"}]
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        assert_out(stranger)
