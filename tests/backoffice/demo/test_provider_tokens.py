from __future__ import annotations

import time
from typing import Any

import jwt
import pytest
import requests
import time_machine

from backoffice.demo.provider import Client, Provider
from backoffice.demo.provider_claims import ACR_STRONG, at_hash
from backoffice.demo.provider_state import ACCESS_SECONDS, CODE_SECONDS
from backoffice.demo.staff import STAFF
from tests.fakes.provider import Party

SEOYEON = STAFF[0]


def verified(party: Party, token: str) -> dict[str, Any]:
    """The claims, checked by the published keys as a site would."""
    answer = requests.get(f"{party.provider.issuer}/jwks", timeout=60)
    keys = jwt.PyJWKSet.from_dict(answer.json())
    kid = jwt.get_unverified_header(token)["kid"]
    return jwt.decode(
        token,
        keys[kid],
        algorithms=["RS256"],
        audience=party.client.client_id,
        issuer=party.provider.issuer,
    )


def test_discovery_names_the_issuer_and_what_is_required(provider: Provider) -> None:
    url = f"{provider.issuer}/.well-known/openid-configuration"
    found = requests.get(url, timeout=60).json()
    assert found["issuer"] == provider.issuer
    assert found["code_challenge_methods_supported"] == ["S256"]
    assert found["authorization_response_iss_parameter_supported"] is True
    assert found["backchannel_logout_session_supported"] is True
    assert found["end_session_endpoint"].startswith(provider.issuer)


def test_id_token_has_every_claim(party: Party) -> None:
    before = int(time.time())
    tokens = party.tokens(SEOYEON.sub, acr_values=f"unknown {ACR_STRONG}")
    claims = verified(party, tokens["id_token"])
    assert claims["sub"] == SEOYEON.sub
    assert claims["nonce"] == "the-nonce"
    assert claims["acr"] == ACR_STRONG
    assert claims["at_hash"] == at_hash(tokens["access_token"])
    assert claims["sid"] in party.provider.sessions
    assert before <= claims["auth_time"] <= claims["iat"] <= before + 60
    assert claims["groups"] == list(SEOYEON.groups)


def test_id_token_has_groups_only_when_asked(party: Party) -> None:
    tokens = party.tokens(SEOYEON.sub, scope="openid")
    assert "groups" not in verified(party, tokens["id_token"])


def test_userinfo_has_the_whole_profile(party: Party) -> None:
    tokens = party.tokens(SEOYEON.sub)
    assert party.userinfo(tokens["access_token"]).json() == {
        "sub": SEOYEON.sub,
        "name": SEOYEON.name,
        "given_name": SEOYEON.given_name,
        "family_name": SEOYEON.family_name,
        "preferred_username": SEOYEON.username,
        "email": SEOYEON.email,
        "email_verified": True,
        "department": SEOYEON.department,
        "title": SEOYEON.title,
        "groups": list(SEOYEON.groups),
        "locale": SEOYEON.locale,
    }


def test_userinfo_keeps_to_the_scope_but_for_groups(party: Party) -> None:
    tokens = party.tokens(SEOYEON.sub, scope="openid")
    assert set(party.userinfo(tokens["access_token"]).json()) == {"sub", "groups"}


@pytest.mark.parametrize("authorization", ["", "Bearer x", "Basic x"])
def test_userinfo_without_a_token_of_ours_is_refused(
    provider: Provider, authorization: str
) -> None:
    headers = {"Authorization": authorization}
    answer = requests.get(f"{provider.issuer}/userinfo", headers=headers, timeout=60)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_access_token_dies_of_age(party: Party, travel: time_machine.Traveller) -> None:
    token = party.tokens(SEOYEON.sub)["access_token"]
    travel.shift(ACCESS_SECONDS + 1)
    assert party.userinfo(token).status_code == 401


@pytest.mark.parametrize(
    "changes",
    [
        {"code_verifier": None},
        {"code_verifier": "w" * 64},
        {"code_verifier": "short"},
        {"redirect_uri": None},
        {"redirect_uri": "http://localhost:8000/other/?kept=1"},
        {"code": "unknown"},
        {"code": None},
    ],
)
def test_exchange_that_does_not_match_is_refused(
    party: Party, changes: dict[str, str | None]
) -> None:
    code = party.sign_in(SEOYEON.sub)["code"]
    answer = party.exchange(**{"code": code, **changes})
    assert answer.status_code == 400
    assert answer.json() == {"error": "invalid_grant"}


def test_failed_exchange_uses_the_code_up(party: Party) -> None:
    code = party.sign_in(SEOYEON.sub)["code"]
    party.exchange(code, code_verifier="w" * 64)
    assert party.exchange(code).status_code == 400


def test_code_of_another_client_is_refused(party: Party, second: Party) -> None:
    code = party.sign_in(SEOYEON.sub)["code"]
    assert second.exchange(code).status_code == 400
    assert party.exchange(code).status_code == 200


def test_code_dies_of_age(party: Party, travel: time_machine.Traveller) -> None:
    code = party.sign_in(SEOYEON.sub)["code"]
    travel.shift(CODE_SECONDS + 1)
    assert party.exchange(code).status_code == 400


def test_replayed_code_ends_what_the_first_use_gave(party: Party) -> None:
    code = party.sign_in(SEOYEON.sub)["code"]
    tokens = party.exchange(code).json()
    assert party.exchange(code).status_code == 400
    assert party.userinfo(tokens["access_token"]).status_code == 401
    assert party.refresh(tokens["refresh_token"]).status_code == 400


def test_refresh_gives_new_tokens_of_the_same_sign_in(party: Party) -> None:
    first = party.tokens(SEOYEON.sub)
    second = party.refresh(first["refresh_token"]).json()
    assert second["refresh_token"] != first["refresh_token"]
    old, new = (verified(party, each["id_token"]) for each in (first, second))
    assert all(old[name] == new[name] for name in ("sub", "sid", "auth_time", "aud"))
    assert "nonce" not in new


def test_refresh_token_used_twice_ends_the_family(party: Party) -> None:
    first = party.tokens(SEOYEON.sub)
    second = party.refresh(first["refresh_token"]).json()
    assert party.refresh(first["refresh_token"]).status_code == 400
    assert party.refresh(second["refresh_token"]).status_code == 400
    assert party.userinfo(second["access_token"]).status_code == 401


def test_refresh_token_of_another_client_is_refused(
    party: Party, second: Party
) -> None:
    token = party.tokens(SEOYEON.sub)["refresh_token"]
    assert second.refresh(token).status_code == 400
    assert party.refresh(token).status_code == 200


def test_client_may_post_its_secret(party: Party) -> None:
    code = party.sign_in(SEOYEON.sub)["code"]
    answer = party.exchange(
        code, client_id=party.client.client_id, client_secret=party.client.secret
    )
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "backoffice", "client_secret": "wrong"},
        {"client_id": "backoffice", "client_secret": ""},
        {"client_id": "unknown", "client_secret": "wrong"},
    ],
)
def test_wrong_client_secret_is_refused(
    party: Party, changes: dict[str, str | None]
) -> None:
    answer = party.exchange(party.sign_in(SEOYEON.sub)["code"], **changes)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic")


@pytest.mark.parametrize("header", ["Basic !", "Basic /w==", "Basic YTpi", "Bearer x"])
def test_wrong_basic_credentials_are_refused(provider: Provider, header: str) -> None:
    answer = requests.post(
        f"{provider.issuer}/token",
        data={"grant_type": "authorization_code"},
        headers={"Authorization": header},
        timeout=60,
    )
    assert answer.status_code == 401


def test_revoked_refresh_token_ends_with_all_that_came_of_it(party: Party) -> None:
    tokens = party.tokens(SEOYEON.sub)
    assert party.revoke(tokens["refresh_token"]).status_code == 200
    assert party.refresh(tokens["refresh_token"]).json() == {"error": "invalid_grant"}
    assert party.userinfo(tokens["access_token"]).status_code == 401


def test_revoking_needs_the_clients_secret_and_an_own_token(party: Party) -> None:
    token = party.tokens(SEOYEON.sub)["refresh_token"]
    assert party.revoke(token, client_secret="wrong").status_code == 401
    assert party.revoke("nobody's").status_code == 200
    assert party.refresh(token).status_code == 200


def test_unknown_grant_type_is_refused(party: Party) -> None:
    answer = party.token({"grant_type": "password"})
    assert answer.json() == {"error": "unsupported_grant_type"}


def test_token_request_with_a_doubled_parameter_is_refused(provider: Provider) -> None:
    answer = requests.post(
        f"{provider.issuer}/token", data=[("code", "a"), ("code", "b")], timeout=60
    )
    assert answer.json() == {"error": "invalid_request"}


def test_rotated_key_signs_while_the_old_one_stays() -> None:
    client = Client("backoffice", "secret", ("http://localhost:8000/back",))
    with Provider(clients=[client]) as provider:
        party = Party(provider, client)
        old = party.tokens(SEOYEON.sub)["id_token"]
        provider.rotate_keys()
        new = party.tokens(SEOYEON.sub, prompt="login")["id_token"]
        assert verified(party, old)["sub"] == verified(party, new)["sub"]
        provider.drop_old_keys()
        assert verified(party, new)
        with pytest.raises(KeyError):
            verified(party, old)
        party.close()
