from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
import requests
from jwt.utils import base64url_decode

from backoffice.demo.provider import ABSENT, Endpoint, Fault, Provider
from backoffice.demo.provider_faults import LONG_AGO, Faults, changed
from backoffice.demo.staff import STAFF
from tests.fakes.provider import Party, parameters_of

SEOYEON = STAFF[0]
Claims = dict[str, Any]


def claims_of(token: str) -> Claims:
    """The claims as they are, unchecked."""
    return jwt.decode(token, options={"verify_signature": False})


def url_of(provider: Provider, endpoint: Endpoint) -> str:
    document = f"{provider.issuer}/.well-known/openid-configuration"
    return document if endpoint == "discovery" else f"{provider.issuer}/{endpoint}"


@pytest.mark.parametrize(
    ("fault", "shows"),
    [
        (Fault.NONCE_WRONG, lambda c: c["nonce"] != "the-nonce"),
        (Fault.NONCE_MISSING, lambda c: "nonce" not in c),
        (Fault.ISS_WRONG, lambda c: c["iss"] == "https://elsewhere.example"),
        (Fault.AUD_WRONG, lambda c: c["aud"] == "another-client"),
        (Fault.AUD_EXTRA, lambda c: c["aud"] == ["backoffice", "another-client"]),
        (Fault.SUB_MISSING, lambda c: "sub" not in c),
        (Fault.SID_MISSING, lambda c: "sid" not in c),
        (Fault.IAT_MISSING, lambda c: "iat" not in c),
        (Fault.EXPIRED, lambda c: c["exp"] == LONG_AGO),
        (Fault.AUTH_TIME_ZERO, lambda c: c["auth_time"] == 0),
        (Fault.AUTH_TIME_OLD, lambda c: c["auth_time"] == LONG_AGO),
        (Fault.AUTH_TIME_MISSING, lambda c: "auth_time" not in c),
        (Fault.AT_HASH_WRONG, lambda c: set(c["at_hash"]) == {"A"}),
        (Fault.GROUPS_MISSING, lambda c: "groups" not in c),
        (Fault.GROUPS_NULL, lambda c: c["groups"] is None),
        (Fault.GROUPS_TEXT, lambda c: c["groups"] == "staff"),
        (Fault.GROUPS_OVERAGE, lambda c: "_claim_names" in c and "groups" not in c),
    ],
)
def test_id_token_is_wrong_as_told(
    party: Party, fault: Fault, shows: Callable[[Claims], bool]
) -> None:
    party.provider.faults.add(fault)
    assert shows(claims_of(party.tokens(SEOYEON.sub)["id_token"]))


@pytest.mark.parametrize(
    ("fault", "shows"),
    [
        (Fault.USERINFO_SUB_WRONG, lambda c: c["sub"] == "someone-else"),
        (Fault.USERINFO_SUB_MISSING, lambda c: "sub" not in c),
        (Fault.GROUPS_MISSING, lambda c: "groups" not in c),
        (Fault.GROUPS_NULL, lambda c: c["groups"] is None),
        (Fault.GROUPS_TEXT, lambda c: c["groups"] == "staff"),
        (Fault.GROUPS_OVERAGE, lambda c: "_claim_names" in c and "groups" not in c),
    ],
)
def test_userinfo_is_wrong_as_told(
    party: Party, fault: Fault, shows: Callable[[Claims], bool]
) -> None:
    party.provider.faults.add(fault, once=True)
    token = party.tokens(SEOYEON.sub)["access_token"]
    assert shows(party.userinfo(token).json())
    assert not shows(party.userinfo(token).json())


def test_signature_by_a_wrong_key_has_the_right_kid(party: Party) -> None:
    party.provider.faults.add(Fault.KEY_WRONG, once=True)
    token = party.tokens(SEOYEON.sub)["id_token"]
    key = party.provider.state.keys.current
    assert jwt.get_unverified_header(token)["kid"] == key.kid
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(token, key.private.public_key(), ["RS256"], audience="backoffice")


def test_signature_by_an_unknown_key_names_it(party: Party) -> None:
    party.provider.faults.add(Fault.KEY_UNKNOWN)
    header = jwt.get_unverified_header(party.tokens(SEOYEON.sub)["id_token"])
    assert header["kid"] == "never-published"


def test_signature_can_be_left_out(party: Party) -> None:
    party.provider.faults.add(Fault.ALG_NONE)
    token = party.tokens(SEOYEON.sub)["id_token"]
    assert jwt.get_unverified_header(token)["alg"] == "none"
    assert token.endswith(".")


def test_signature_can_be_the_public_key_as_a_secret(party: Party) -> None:
    party.provider.faults.add(Fault.ALG_HS256)
    token = party.tokens(SEOYEON.sub)["id_token"]
    assert jwt.get_unverified_header(token)["alg"] == "HS256"
    assert len(base64url_decode(token.rpartition(".")[2])) == 32


def test_clock_can_be_wrong(party: Party) -> None:
    party.provider.faults.add(Fault.CLOCK_OFFSET, seconds=-7200)
    claims = claims_of(party.tokens(SEOYEON.sub)["id_token"])
    assert claims["iat"] < time.time() - 7000
    assert claims["auth_time"] < time.time() - 7000


def test_discovery_can_name_another_issuer(provider: Provider) -> None:
    provider.faults.add(Fault.DISCOVERY_ISSUER_WRONG)
    answer = requests.get(url_of(provider, Endpoint.DISCOVERY), timeout=60).json()
    assert answer["issuer"] == "https://elsewhere.example"


def test_jwks_can_have_a_broken_key_among_good_ones(provider: Provider) -> None:
    provider.faults.add(Fault.JWKS_UNPARSEABLE)
    keys = requests.get(url_of(provider, Endpoint.JWKS), timeout=60).json()["keys"]
    assert [key["kid"] for key in keys[:1]] == ["broken"]
    assert keys[-1] == provider.state.keys.current.jwk()


def test_jwks_can_be_empty(provider: Provider) -> None:
    provider.faults.add(Fault.JWKS_EMPTY)
    answer = requests.get(url_of(provider, Endpoint.JWKS), timeout=60)
    assert answer.json() == {"keys": []}


@pytest.mark.parametrize("changes", [{"prompt": "login"}, {"max_age": "0"}])
def test_reauthentication_can_be_ignored(
    party: Party, changes: dict[str, str | None]
) -> None:
    party.sign_in(SEOYEON.sub)
    party.provider.faults.add(Fault.REAUTHENTICATION_IGNORED)
    assert "code" in parameters_of(party.ask(**changes))


def test_response_can_come_with_a_wrong_issuer_or_none(party: Party) -> None:
    party.provider.faults.add(Fault.RESPONSE_ISS_WRONG, once=True)
    assert party.sign_in(SEOYEON.sub)["iss"] == "https://elsewhere.example"
    party.provider.faults.add(Fault.RESPONSE_ISS_MISSING, once=True)
    assert "iss" not in parameters_of(party.ask())


def test_response_can_come_with_a_wrong_state(party: Party) -> None:
    party.provider.faults.add(Fault.RESPONSE_STATE_WRONG)
    assert party.sign_in(SEOYEON.sub)["state"] != "the-state"


def test_refresh_can_be_refused_once(party: Party) -> None:
    token = party.tokens(SEOYEON.sub)["refresh_token"]
    party.provider.faults.add(Fault.REFRESH_REFUSED, once=True)
    assert party.refresh(token).json() == {"error": "invalid_grant"}
    assert party.refresh(token).status_code == 200


@pytest.mark.parametrize("endpoint", list(Endpoint))
def test_endpoint_can_fail(provider: Provider, endpoint: Endpoint) -> None:
    provider.faults.add(Fault.STATUS_500, endpoint=endpoint)
    method = "POST" if endpoint in {Endpoint.TOKEN, Endpoint.REVOKE} else "GET"
    answer = requests.request(method, url_of(provider, endpoint), timeout=60)
    assert answer.status_code == 500


def test_fault_of_one_endpoint_leaves_the_others(provider: Provider) -> None:
    provider.faults.add(Fault.STATUS_500, endpoint=Endpoint.JWKS)
    answer = requests.get(url_of(provider, Endpoint.DISCOVERY), timeout=60)
    assert answer.status_code == 200


def test_endpoint_can_answer_a_page(provider: Provider) -> None:
    provider.faults.add(Fault.HTML, endpoint="jwks")
    answer = requests.get(url_of(provider, Endpoint.JWKS), timeout=60)
    assert answer.headers["Content-Type"].startswith("text/html")
    assert answer.status_code == 200


def test_endpoint_can_send_elsewhere(provider: Provider) -> None:
    provider.faults.add(Fault.REDIRECT, endpoint="jwks", once=True)
    followed = requests.get(url_of(provider, Endpoint.JWKS), timeout=60)
    assert [each.status_code for each in followed.history] == [307]
    assert provider.requests[-1].path == "/elsewhere/jwks"


def test_endpoint_can_be_late(provider: Provider) -> None:
    provider.faults.add(Fault.LATE, endpoint="jwks", seconds=0.2)
    with pytest.raises(requests.ReadTimeout):
        requests.get(url_of(provider, Endpoint.JWKS), timeout=0.05)


def test_endpoint_can_drip(provider: Provider) -> None:
    provider.faults.add(Fault.DRIP, endpoint="jwks", seconds=0.2)
    start = time.monotonic()
    assert requests.get(url_of(provider, Endpoint.JWKS), timeout=60).json()["keys"]
    assert time.monotonic() - start > 0.15


def test_endpoint_can_be_huge(provider: Provider) -> None:
    provider.faults.add(Fault.HUGE, endpoint="jwks")
    url = url_of(provider, Endpoint.JWKS)
    with requests.get(url, timeout=60, stream=True) as answer:
        assert len(answer.raw.read(2**21)) == 2**21


def test_faults_can_be_set_over_http(provider: Provider) -> None:
    url = f"{provider.issuer}/dev/faults"
    setting = {"fault": "late", "endpoint": "token", "seconds": 0.5, "once": True}
    assert requests.post(url, json=setting, timeout=60).status_code == 200
    [listed] = requests.get(url, timeout=60).json()
    assert setting.items() <= listed.items()
    assert requests.delete(url, timeout=60).json() == []


@pytest.mark.parametrize(
    "setting",
    [{"fault": "no-such"}, {"fault": "late", "endpoint": "x"}, {"x": 1}, [], {}],
)
def test_fault_that_does_not_exist_is_refused(provider: Provider, setting: Any) -> None:
    url = f"{provider.issuer}/dev/faults"
    assert requests.post(url, json=setting, timeout=60).status_code == 400
    assert provider.faults.settings() == []


def test_fault_from_a_foreign_form_is_refused(provider: Provider) -> None:
    url = f"{provider.issuer}/dev/faults"
    headers = {"Content-Type": "text/plain"}
    answer = requests.post(url, '{"fault": "late"}', headers=headers, timeout=60)
    assert answer.status_code == 415


def test_removed_fault_is_gone_and_the_others_stay() -> None:
    faults = Faults()
    faults.add("late", seconds=1)
    faults.add("html")
    faults.remove("late")
    assert [each.fault for each in faults.settings()] == ["html"]


def test_changed_claims_can_be_null_or_absent() -> None:
    assert changed({"a": 1, "b": 2}, {"a": None, "b": ABSENT}) == {"a": None}
