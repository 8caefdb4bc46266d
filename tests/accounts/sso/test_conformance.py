"""The relying-party cases of the OpenID conformance suite, under its names.

Basic and comprehensive plans, as far as they concern a client of the code flow. That
is mirroring, not certification. What the suite wants refused must leave one log line.
"""

from __future__ import annotations

from base64 import b64decode
from urllib.parse import parse_qsl, unquote_plus, urlsplit

import pytest
from django.http import HttpResponse

from accounts.models import User
from backoffice.demo.provider import ABSENT, Provider
from tests.accounts.sso.conftest import SECRET
from tests.accounts.sso.forger import KEYS, CurveForger, Forger
from tests.accounts.sso.person import (
    SUPPORT,
    Person,
    assert_refused,
    assert_signed_in,
)

Log = pytest.LogCaptureFixture
ANSWER = {"kind": "provider-answer", "status": 502}
EXPIRED = {"kind": "expired", "status": 403}


def published(idp: Provider, path: str) -> int:
    """How often the site asked for this document."""
    return sum(asked.path == path for asked in idp.requests)


# Basic --------------------------------------------------------------------------------


def test_oidcc_client_test(person: Person) -> None:
    assert_signed_in(person.sign_in(), person)


def test_oidcc_client_test_invalid_iss(
    person: Person, idp: Provider, caplog: Log
) -> None:
    idp.faults.add("iss-wrong", once=True)
    assert_refused(person.sign_in(), person, caplog, **ANSWER, why="claim=iss")


def test_oidcc_client_test_missing_sub(
    person: Person, idp: Provider, caplog: Log
) -> None:
    idp.faults.add("sub-missing", once=True)
    assert_refused(person.sign_in(), person, caplog, **ANSWER, why="claim=sub")


def test_oidcc_client_test_invalid_aud(
    person: Person, idp: Provider, caplog: Log
) -> None:
    idp.faults.add("aud-wrong", once=True)
    assert_refused(person.sign_in(), person, caplog, **ANSWER, why="claim=aud")


def test_oidcc_client_test_missing_iat(
    person: Person, idp: Provider, caplog: Log
) -> None:
    idp.faults.add("iat-missing", once=True)
    assert_refused(person.sign_in(), person, caplog, **ANSWER, why="claim=iat")


def test_oidcc_client_test_kid_absent_single_jwks(
    person: Person, forger: Forger
) -> None:
    forger.header = {"kid": None, "alg": "RS256"}
    assert_signed_in(person.sign_in(), person)


def test_oidcc_client_test_kid_absent_multiple_jwks(
    person: Person, forger: Forger
) -> None:
    """The suite's text of today: any of the published keys may be the one."""
    forger.header = {"kid": None, "alg": "RS256"}
    forger.published = [key.jwk() for key in (KEYS[1], KEYS[2], KEYS[0])]
    assert_signed_in(person.sign_in(), person)


def test_oidcc_client_test_idtoken_sig_rs256(person: Person, forger: Forger) -> None:
    forger.header = {"alg": "RS256"}
    assert_signed_in(person.sign_in(), person)


def test_oidcc_client_test_idtoken_sig_none(
    person: Person, idp: Provider, caplog: Log
) -> None:
    """The suite lets a client accept it that asked for it; we never do."""
    idp.faults.add("alg-none", once=True)
    answer = person.sign_in()
    assert_refused(answer, person, caplog, **ANSWER, why="invalid_signature")


def test_oidcc_client_test_invalid_sig_rs256(
    person: Person, idp: Provider, caplog: Log
) -> None:
    idp.faults.add("key-wrong", once=True)
    answer = person.sign_in()
    assert_refused(answer, person, caplog, **ANSWER, why="invalid_signature")


def test_oidcc_client_test_userinfo_invalid_sub(
    person: Person, idp: Provider, caplog: Log
) -> None:
    idp.faults.add("userinfo-sub-wrong", once=True)
    assert_refused(person.sign_in(), person, caplog, **ANSWER, why="stage=user_info")


def test_oidcc_client_test_nonce_invalid(
    person: Person, idp: Provider, caplog: Log
) -> None:
    idp.faults.add("nonce-wrong", once=True)
    assert_refused(person.sign_in(), person, caplog, **EXPIRED, why="nonce_mismatch")


def test_oidcc_client_test_scope_userinfo_claims(person: Person) -> None:
    assert person.asked()["scope"] == "openid profile email"
    person.sign_in()
    user = User.objects.get(sub=SUPPORT)
    assert (user.name, user.email) == ("박지훈", "jihoon.park@example.com")


def test_oidcc_client_test_client_secret_basic(person: Person, idp: Provider) -> None:
    """Form-encoded before it is joined: this secret has a colon and a percent sign."""
    person.sign_in()
    (sent,) = [asked for asked in idp.requests if asked.path == "/token"]
    scheme, _, encoded = sent.header("Authorization").partition(" ")
    name, _, secret = b64decode(encoded).decode().partition(":")
    assert (scheme, name, unquote_plus(secret)) == ("Basic", "backoffice", SECRET)
    assert "client_secret" not in sent.form


# Comprehensive ------------------------------------------------------------------------


def test_oidcc_client_test_missing_aud(
    person: Person, forger: Forger, caplog: Log
) -> None:
    forger.changes = {"aud": ABSENT}
    assert_refused(person.sign_in(), person, caplog, **ANSWER, why="claim=aud")


def test_oidcc_client_test_invalid_sig_es256(
    person: Person, idp: Provider, forger: Forger, caplog: Log
) -> None:
    idp.state.keys = CurveForger()
    answer = person.sign_in()
    assert_refused(answer, person, caplog, **ANSWER, why="invalid_signature")


def test_oidcc_client_test_invalid_sig_hs256(
    person: Person, idp: Provider, caplog: Log
) -> None:
    """Signed with the published key as if that were a secret between us."""
    idp.faults.add("alg-hs256", once=True)
    answer = person.sign_in()
    assert_refused(answer, person, caplog, **ANSWER, why="invalid_signature")


def test_oidcc_client_test_discovery_openid_config(
    person: Person, idp: Provider
) -> None:
    assert person.begin()["Location"].startswith(f"{idp.issuer}/authorize?")
    assert published(idp, "/.well-known/openid-configuration") == 1


def test_oidcc_client_test_discovery_jwks_uri_keys(
    person: Person, idp: Provider
) -> None:
    assert_signed_in(person.sign_in(), person)
    assert published(idp, "/jwks") == 1


def test_oidcc_client_test_discovery_issuer_mismatch(
    person: Person, idp: Provider, caplog: Log
) -> None:
    idp.faults.add("discovery-issuer-wrong", once=True)
    assert_refused(person.begin(), person, caplog, **ANSWER, why="claim=issuer")


def test_oidcc_client_test_signing_key_rotation(
    person: Person, another: Person, idp: Provider, forger: Forger
) -> None:
    person.sign_in()
    forger.keys = [KEYS[1], KEYS[0]]
    assert_signed_in(another.sign_in(), another)
    assert published(idp, "/jwks") == 2


def test_oidcc_client_test_signing_key_rotation_just_before_signing(
    person: Person, idp: Provider, forger: Forger
) -> None:
    """The old key is gone at the moment in which the new one signs."""
    person.sign_in()
    back = person.callback()
    forger.keys = [KEYS[1]]
    assert_signed_in(person.come_back(back), person)


def test_oidcc_client_test_ignores_unparseable_key_in_jwks(
    person: Person, idp: Provider
) -> None:
    idp.faults.add("jwks-unparseable")
    assert_signed_in(person.sign_in(), person)


# What is refreshed is tested under the suite's names in test_renewal, back-channel
# logout in test_backchannel.

# RP-initiated logout ------------------------------------------------------------------


def signed_out(person: Person, idp: Provider, **changes: str | None) -> HttpResponse:
    """Signs in and out, at the provider as well; comes back with these changes."""
    person.sign_in()
    address = person.site.post("/sign-out/")["Location"]
    assert address.startswith(f"{idp.issuer}/end_session?")
    back = person.http.get(address, allow_redirects=False).headers["Location"]
    assert back.startswith("http://localhost/signed-out/?state=")
    said = {**dict(parse_qsl(urlsplit(back).query)), **changes}
    kept = {name: value for name, value in said.items() if value is not None}
    answer: HttpResponse = person.site.get("/signed-out/", kept)
    return answer


def test_oidcc_client_test_rp_init_logout(person: Person, idp: Provider) -> None:
    """RPL-02: with a hint, which is why the provider does not ask."""
    idp.sessions.clear()
    answer = signed_out(person, idp)
    assert (answer.status_code, answer.context["provider_signed_out"]) == (200, True)
    assert person.signed_in_as is None
    assert not [each for each in idp.sessions.values() if each.sub == SUPPORT]


@pytest.mark.parametrize("state", ["invented", ""])
def test_oidcc_client_test_rp_init_logout_other_state(
    person: Person, idp: Provider, state: str
) -> None:
    """RPL-03: a neutral page; whoever sent this has changed nothing."""
    answer = signed_out(person, idp, state=state)
    assert (answer.status_code, answer.context["provider_signed_out"]) == (200, None)


def test_oidcc_client_test_rp_init_logout_no_state(
    person: Person, idp: Provider
) -> None:
    answer = signed_out(person, idp, state=None)
    assert (answer.status_code, answer.context["provider_signed_out"]) == (200, None)
