"""The ladder, rung by rung. All of it without a network, a store or a database."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import (
    generate_private_key as generate_ec_key,
)
from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from jwt.utils import base64url_encode

from accounts.sso.logout_token import (
    EVENT,
    LEEWAY_SECONDS,
    MAX_AGE_SECONDS,
    MAX_CHARACTERS,
    MAX_NAME,
    TYPE,
    Key,
    LogoutToken,
    Refused,
    Rules,
    verify,
)

NOW = 1_800_000_000.0
RULES = Rules("https://idp.example", "backoffice", frozenset({"RS256"}))
LENIENT = replace(RULES, accepts_plain_typ=True, accepts_no_exp=True)
SIGNING = generate_private_key(65537, 2048)
ANOTHER = generate_private_key(65537, 2048)
SMALL = generate_private_key(65537, 1024)  # noqa: S505 - to be refused
ABSENT = object()


def published(key: RSAPrivateKey, kid: str = "k1", **changes: Any) -> Key:
    jwk = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return without_absent({**jwk, "kid": kid, "alg": "RS256", **changes})


def without_absent(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not ABSENT}


def claims(**changes: Any) -> dict[str, Any]:
    right = {
        "iss": RULES.issuer,
        "aud": RULES.client_id,
        "iat": int(NOW),
        "exp": int(NOW) + 120,
        "jti": "j-1",
        "events": {EVENT: {}},
        "sub": "u-1",
        "sid": "s-1",
    }
    return without_absent({**right, **changes})


def signed(
    content: Any, key: Any = SIGNING, algorithm: str = "RS256", **header: Any
) -> str:
    head = without_absent({"typ": TYPE, "kid": "k1", **header})
    if isinstance(content, dict):
        content = json.dumps(content).encode()
    return jwt.PyJWS().encode(content, key, algorithm=algorithm, headers=head)


def raw(header: Any, content: Any = b"{}", signature: bytes = b"x") -> str:
    parts = [
        p if isinstance(p, bytes) else json.dumps(p).encode() for p in (header, content)
    ]
    return b".".join(base64url_encode(part) for part in [*parts, signature]).decode()


class Keys:
    """What the provider publishes, and how often it was looked at."""

    def __init__(self, *keys: Key) -> None:
        self.keys = keys or (published(SIGNING),)
        self.asked: list[str | None] = []

    def __call__(self, kid: str | None) -> Iterable[Key]:
        self.asked.append(kid)
        return [key for key in self.keys if kid is None or key.get("kid") == kid]


def refusal(token: str, rules: Rules = RULES, keys: Keys | None = None) -> str:
    with pytest.raises(Refused) as caught:
        verify(token, rules, keys or Keys(), NOW)
    return caught.value.because


def accepted(token: str, rules: Rules = RULES, keys: Keys | None = None) -> LogoutToken:
    return verify(token, rules, keys or Keys(), NOW)


def test_right_token_says_who_and_which_session() -> None:
    expected = LogoutToken(RULES.issuer, "j-1", "u-1", "s-1")
    assert accepted(signed(claims())) == expected


@pytest.mark.parametrize(("name", "kept"), [("sub", "sid"), ("sid", "sub")])
def test_sub_or_sid_alone_is_enough(name: str, kept: str) -> None:
    token = accepted(signed(claims(**{name: ABSENT})))
    assert getattr(token, name) is None
    assert getattr(token, kept)


def test_other_members_are_ignored() -> None:
    events = {EVENT: {"why": "x"}, "urn:example:another": None}
    token = signed(claims(events=events, extra=[1]), extra="x")
    assert accepted(token).jti == "j-1"


# The form --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a",
        "a.b",
        "a.b.c",
        "a.b.c.d.e",
        "....",
        "é.é.é",
        "a.b.c\n",
        " a.b.c",
        "null.null.null",
        raw([]),
        raw("text"),
        raw(b"\xff"),
        raw(b"[" * 3000),
        raw({"alg": "RS256"}, b"[" * 3000),
        raw({"alg": "RS256"}, b"\xff\xfe"),
        raw({"alg": "RS256"}, b"1" * 5000),
        raw({"alg": "RS256"}, []),
        raw({"alg": "RS256", "kid": 1}),
        raw({"alg": "RS256", "crit": ["exp"], "exp": 1}),
        raw({"alg": "RS256", "crit": []}),
        raw({"alg": "RS256", "b64": False}),
    ],
)
def test_what_is_no_token_is_refused_without_looking_for_a_key(token: str) -> None:
    keys = Keys()
    assert refusal(token, keys=keys)
    assert keys.asked == []


def test_token_that_is_too_long_is_refused() -> None:
    token = signed(claims(extra="x" * MAX_CHARACTERS))
    assert refusal(token) == "the token is too long"


# The algorithm and the key ---------------------------------------------------------


@pytest.mark.parametrize(
    "algorithm", ["none", "NONE", "HS256", "RS384", "ES256", "", None, 1, ["RS256"]]
)
def test_algorithm_that_is_not_ours_is_refused(algorithm: Any) -> None:
    token = raw({"alg": algorithm, "typ": TYPE, "kid": "k1"}, claims(), b"")
    assert "algorithm" in refusal(token)


def test_missing_algorithm_is_refused() -> None:
    assert "algorithm" in refusal(raw({"typ": TYPE, "kid": "k1"}, claims()))


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_algorithm_that_proves_nothing_is_refused_whatever_is_configured(
    algorithm: str,
) -> None:
    rules = replace(RULES, algorithms=frozenset({algorithm}))
    assert "algorithm" in refusal(raw({"alg": algorithm, "typ": TYPE}, claims()), rules)


def test_public_key_used_as_a_secret_signs_nothing() -> None:
    pem = SIGNING.public_key().public_bytes(
        Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    )
    head, content, _ = raw({"alg": "HS256", "typ": TYPE, "kid": "k1"}, claims()).split(
        "."
    )
    mac = hmac.digest(pem, f"{head}.{content}".encode(), hashlib.sha256().name)
    forged = f"{head}.{content}.{base64url_encode(mac).decode()}"
    rules = replace(RULES, algorithms=frozenset({"RS256", "HS256"}))
    assert "algorithm" in refusal(forged, rules)


def test_token_signed_with_another_key_is_refused() -> None:
    assert refusal(signed(claims(), ANOTHER)) == "the signature is wrong"


def test_claims_changed_after_signing_are_refused() -> None:
    head, _, signature = signed(claims()).split(".")
    other = base64url_encode(json.dumps(claims(sub="u-2")).encode()).decode()
    assert refusal(f"{head}.{other}.{signature}") == "the signature is wrong"


@pytest.mark.parametrize("member", ["jwk", "jku", "x5u", "x5c"])
def test_key_that_the_token_brings_along_is_not_used(member: str) -> None:
    brought = {"jwk": dict(published(ANOTHER))}.get(member, "https://evil.example/k")
    token = signed(claims(), ANOTHER, **{member: brought})
    assert refusal(token) == "the signature is wrong"


def test_unknown_kid_is_looked_for_once_and_refused() -> None:
    keys = Keys()
    token = signed(claims(), kid="another")
    assert refusal(token, keys=keys) == "the key is not one of the provider's"
    assert keys.asked == ["another"]


def test_missing_kid_tries_every_key() -> None:
    keys = Keys(published(ANOTHER, "k0"), published(SIGNING, "k1"))
    assert accepted(signed(claims(), kid=ABSENT), keys=keys).jti == "j-1"


def test_kid_that_two_keys_share_tries_both() -> None:
    keys = Keys(published(ANOTHER), published(SIGNING))
    assert accepted(signed(claims()), keys=keys).jti == "j-1"


@pytest.mark.parametrize(
    "broken",
    [
        {"kid": "k1"},
        {"kid": "k1", "kty": "RSA"},
        {"kid": "k1", "kty": "RSA", "n": 1, "e": []},
        {"kid": "k1", "kty": "oct", "k": "c2VjcmV0"},
        {"kid": "k1", "kty": {}},
    ],
)
def test_broken_key_does_not_hide_the_others(broken: Key) -> None:
    keys = Keys(broken, published(SIGNING))
    assert accepted(signed(claims()), keys=keys).jti == "j-1"
    assert refusal(signed(claims()), keys=Keys(broken)) == "the signature is wrong"


def test_key_without_alg_and_use_will_do() -> None:
    keys = Keys(published(SIGNING, alg=ABSENT))
    assert accepted(signed(claims()), keys=keys).jti == "j-1"


@pytest.mark.parametrize("changes", [{"use": "enc"}, {"alg": "RS512"}])
def test_key_for_another_purpose_is_not_used(changes: dict[str, str]) -> None:
    keys = Keys(published(SIGNING, **changes))
    assert "the key" in refusal(signed(claims()), keys=keys)


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_key_that_can_be_guessed_is_not_used() -> None:
    token = signed(claims(), SMALL)
    assert refusal(token, keys=Keys(published(SMALL))) == "the signature is wrong"


def test_other_algorithm_is_accepted_where_id_tokens_may_have_it() -> None:
    key = generate_ec_key(SECP256R1())
    jwk = {**ECAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": "k1"}
    token = signed(claims(), key, "ES256")
    rules = replace(RULES, algorithms=frozenset({"ES256"}))
    assert accepted(token, rules, Keys(jwk)).jti == "j-1"
    assert "algorithm" in refusal(token, keys=Keys(jwk))


# The type --------------------------------------------------------------------------


@pytest.mark.parametrize("typ", ["logout+jwt", "LOGOUT+JWT", "application/logout+jwt"])
def test_type_of_a_logout_token_is_accepted(typ: str) -> None:
    assert accepted(signed(claims(), typ=typ)).jti == "j-1"


@pytest.mark.parametrize("typ", ["JWT", "jwt", "application/jwt", ABSENT])
def test_plain_type_is_accepted_only_where_that_is_set(typ: Any) -> None:
    token = raw(without_absent({"alg": "RS256", "typ": typ}), claims())
    assert "OIDC_LOGOUT_ACCEPTS_PLAIN_TYP" in refusal(token)
    assert refusal(token, LENIENT) == "the signature is wrong"


def test_plain_type_of_a_signed_token_is_accepted_where_that_is_set() -> None:
    assert accepted(signed(claims(), typ="JWT"), LENIENT).jti == "j-1"


@pytest.mark.parametrize("typ", ["at+jwt", "secevent+jwt", "", None, 1, ["JWT"]])
def test_another_type_is_refused_everywhere(typ: Any) -> None:
    token = raw({"alg": "RS256", "typ": typ, "kid": "k1"}, claims())
    assert "another kind" in refusal(token)
    assert "another kind" in refusal(token, LENIENT)


# The claims ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "issuer",
    [ABSENT, None, "", "https://idp.example/", "https://evil.example", ["x"]],
)
def test_issuer_must_be_exact(issuer: Any) -> None:
    assert refusal(signed(claims(iss=issuer))) == "iss is not our provider"


@pytest.mark.parametrize(
    "audience",
    [ABSENT, None, "", "another", [], ["another"], {"backoffice": 1}, "backoffice2"],
)
def test_audience_must_name_us(audience: Any) -> None:
    assert refusal(signed(claims(aud=audience))) == "aud does not name us"


def test_audience_may_name_others_too() -> None:
    assert accepted(signed(claims(aud=["another", "backoffice"]))).jti == "j-1"


@pytest.mark.parametrize(
    "issued", [ABSENT, None, True, "1800000000", float("nan"), float("inf"), {}]
)
def test_moment_of_issue_must_be_one(issued: Any) -> None:
    assert refusal(signed(claims(iat=issued))) == "iat is missing or no moment"


OLDEST = MAX_AGE_SECONDS + LEEWAY_SECONDS


@pytest.mark.parametrize("offset", [-OLDEST, 0, LEEWAY_SECONDS])
def test_token_is_accepted_up_to_its_age_and_the_leeway(offset: int) -> None:
    assert accepted(signed(claims(iat=NOW + offset))).jti == "j-1"


@pytest.mark.parametrize("offset", [-OLDEST - 1, LEEWAY_SECONDS + 1, -(10**300)])
def test_token_is_refused_beyond_its_age_and_the_leeway(offset: int) -> None:
    assert refusal(signed(claims(iat=int(NOW) + offset))).startswith("iat is ")


def test_age_counts_also_when_the_token_says_it_lasts_longer() -> None:
    token = signed(claims(iat=NOW - 3600, exp=NOW + 3600))
    assert refusal(token) == "iat is too long ago"


@pytest.mark.parametrize("offset", [-LEEWAY_SECONDS, -LEEWAY_SECONDS - 1, -(10**300)])
def test_expiry_is_respected(offset: int) -> None:
    assert refusal(signed(claims(exp=int(NOW) + offset))) == "exp is over"
    assert refusal(signed(claims(exp=int(NOW) + offset)), LENIENT) == "exp is over"


def test_expiry_has_the_leeway() -> None:
    assert accepted(signed(claims(exp=NOW - LEEWAY_SECONDS + 1))).jti == "j-1"


@pytest.mark.parametrize("expires", [None, "soon", True, float("nan")])
def test_expiry_must_be_a_moment(expires: Any) -> None:
    assert refusal(signed(claims(exp=expires)), LENIENT) == "exp is no moment"


def test_missing_expiry_is_accepted_only_where_that_is_set() -> None:
    token = signed(claims(exp=ABSENT))
    assert "OIDC_LOGOUT_ACCEPTS_NO_EXP" in refusal(token)
    assert accepted(token, LENIENT).jti == "j-1"


def test_missing_expiry_is_bounded_by_age() -> None:
    token = signed(claims(exp=ABSENT, iat=NOW - OLDEST - 1))
    assert refusal(token, LENIENT) == "iat is too long ago"


@pytest.mark.parametrize(
    "events",
    [
        ABSENT,
        None,
        EVENT,
        [EVENT],
        [{EVENT: {}}],
        {},
        {"urn:example:another": {}},
        {f"{EVENT}/": {}},
        {EVENT: None},
        {EVENT: "yes"},
        {EVENT: []},
        {EVENT: True},
    ],
)
def test_event_must_be_an_object_in_an_object(events: Any) -> None:
    assert refusal(signed(claims(events=events))) == "events does not hold a logout"


@pytest.mark.parametrize("nonce", ["n", "", None, 0])
def test_nonce_of_any_kind_is_refused(nonce: Any) -> None:
    assert "nonce" in refusal(signed(claims(nonce=nonce)))


def test_neither_sub_nor_sid_is_refused() -> None:
    token = signed(claims(sub=ABSENT, sid=ABSENT))
    assert refusal(token) == "neither sub nor sid is there"


NO_NAMES = [None, "", 1, ["u-1"], {}, "a\0b", "a\nb", "\ud800", "x" * (MAX_NAME + 1)]


@pytest.mark.parametrize("value", NO_NAMES)
@pytest.mark.parametrize("claim", ["sub", "sid"])
def test_sub_and_sid_must_be_names(claim: str, value: Any) -> None:
    assert refusal(signed(claims(**{claim: value}))) == "sub or sid is no name"


@pytest.mark.parametrize("value", [ABSENT, *NO_NAMES])
def test_identity_must_be_a_name(value: Any) -> None:
    assert refusal(signed(claims(jti=value))) == "jti is missing or no name"


def test_refusal_carries_what_the_token_said_of_itself() -> None:
    with pytest.raises(Refused) as caught:
        verify(signed(claims(), ANOTHER), RULES, Keys(), NOW)
    assert caught.value.claims["jti"] == "j-1"


def test_no_key_is_looked_for_before_everything_else_is_right() -> None:
    keys = Keys()
    for wrong in ("iss", "aud", "iat", "exp", "events", "jti"):
        refusal(signed(claims(**{wrong: ABSENT})), keys=keys)
    assert keys.asked == []


# Anything else ---------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
HEADER = st.dictionaries(st.sampled_from(["alg", "typ", "kid", "crit", "b64"]), JSON)
CLAIMS = st.dictionaries(st.sampled_from([*claims(), "nonce"]), JSON)
MEMBERS = st.dictionaries(st.sampled_from([*published(SIGNING), "crv", "d"]), JSON)


@given(header=HEADER, changes=CLAIMS)
def test_nothing_that_a_token_says_raises_anything_but_a_refusal(
    header: dict[str, Any], changes: dict[str, Any]
) -> None:
    said = {"alg": "RS256", "typ": TYPE, "kid": "k1", **header}
    assert refusal(raw(said, {**claims(), **changes}), LENIENT)


@given(changes=MEMBERS)
def test_nothing_that_a_key_says_hides_the_key_beside_it(
    changes: dict[str, Any],
) -> None:
    keys = Keys({**published(SIGNING), **changes}, published(SIGNING))
    token = signed(claims(), kid=ABSENT)
    assert accepted(token, keys=keys).jti == "j-1"
    assert refusal(signed(claims(), ANOTHER, kid=ABSENT), keys=keys)
