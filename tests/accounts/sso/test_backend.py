"""What is asked of the provider, and what of its answers is believed."""

from __future__ import annotations

import base64
import hashlib
import time
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from accounts.models import AuditEntry
from accounts.sso.question import MAX_OF_ONE_BROWSER
from backoffice.demo.loopback import LoopbackServer
from backoffice.demo.messages import Request, json_response
from backoffice.demo.provider import ABSENT, Provider
from backoffice.demo.provider_claims import ACR_CARD, ACR_STRONG
from tests.accounts.sso.conftest import set_up
from tests.accounts.sso.forger import KEYS, Forger
from tests.accounts.sso.person import (
    ADMIN,
    BEGIN,
    COMPLETE,
    SUPPORT,
    Person,
    assert_refused,
    assert_signed_in,
    refusals,
)
from tests.conftest import Travel

Log = pytest.LogCaptureFixture
ANSWER = {"kind": "provider-answer", "status": 502}
EXPIRED = {"kind": "expired", "status": 403}
DOWN = {"kind": "provider-down", "status": 502}
LATE = {"kind": "provider-down", "status": 504}


# The question -------------------------------------------------------------------------


def test_request_is_a_code_flow_with_pkce_s256_state_and_nonce(person: Person) -> None:
    asked = person.asked()
    assert asked["response_type"] == "code"
    assert asked["code_challenge_method"] == "S256"
    assert asked["redirect_uri"] == f"http://localhost{COMPLETE}"
    assert all(len(asked[name]) >= 32 for name in ("state", "nonce", "code_challenge"))
    assert "response_mode" not in asked


def test_verifier_sent_with_the_code_is_the_one_that_was_promised(
    person: Person, idp: Provider
) -> None:
    asked = person.begin()["Location"]
    person.come_back(person.authorize(asked))
    (sent,) = [each for each in idp.requests if each.path == "/token"]
    digest = hashlib.sha256(sent.form["code_verifier"].encode()).digest()
    challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    assert f"code_challenge={challenge}" in asked


def test_state_and_nonce_are_new_each_time(person: Person) -> None:
    first, second = person.asked(), person.asked()
    for name in ("state", "nonce", "code_challenge"):
        assert first[name] != second[name]


def test_only_the_scopes_that_are_needed_are_asked_for(
    person: Person, settings: Settings
) -> None:
    set_up(settings, scopes=("groups",))
    assert set(person.asked()["scope"].split()) == {
        "openid",
        "profile",
        "email",
        "groups",
    }


def test_begin_by_get_is_405_and_begins_nothing(person: Person) -> None:
    assert person.site.get(BEGIN).status_code == 405
    assert person.session_key is None


def test_begin_without_csrf_token_is_403(person: Person) -> None:
    person.site.handler.enforce_csrf_checks = True
    assert person.begin().status_code == 403
    assert person.session_key is None


def test_answer_by_post_is_405(person: Person) -> None:
    """`response_mode=form_post`: our cookie would not come along with it anyway."""
    back = person.callback()
    assert person.site.post(back).status_code == 405
    assert person.signed_in_as is None


# State and the answer's issuer --------------------------------------------------------


def test_state_works_once(person: Person, another: Person, caplog: Log) -> None:
    back = person.callback()
    idle = dict(person.site.cookies)
    person.come_back(back)
    another.site.cookies.update(idle)
    assert_refused(another.come_back(back), another, caplog, **EXPIRED)


def test_state_of_a_refused_sign_in_works_no_more(
    person: Person, idp: Provider, caplog: Log
) -> None:
    idp.faults.add("nonce-wrong", once=True)
    back = person.callback()
    person.come_back(back)
    assert person.come_back(back).status_code == 403
    assert "stage=callback" in refusals(caplog)[-1]


def test_state_of_another_browser_is_refused(
    person: Person, another: Person, caplog: Log
) -> None:
    """Login CSRF: the attacker's own answer, sent to the victim's browser."""
    another.begin()
    answer = another.come_back(person.callback(ADMIN))
    assert_refused(answer, another, caplog, **EXPIRED, why="stage=callback")


def test_state_that_is_wrong_is_refused(
    person: Person, idp: Provider, caplog: Log
) -> None:
    idp.faults.add("response-state-wrong", once=True)
    assert_refused(person.sign_in(), person, caplog, **EXPIRED)


def test_state_that_is_too_old_is_refused(
    person: Person, travel: Travel, caplog: Log
) -> None:
    back = person.callback()
    travel.shift(601)
    assert_refused(person.come_back(back), person, caplog, **EXPIRED)


def test_code_of_another_user_is_refused(
    person: Person, another: Person, caplog: Log
) -> None:
    """Bound by PKCE: the stolen code was promised to another verifier."""
    stolen = another.callback(ADMIN).partition("code=")[2].partition("&")[0]
    answer = person.come_back(person.callback(), code=stolen)
    assert_refused(answer, person, caplog, **EXPIRED, why="authorization_code_rejected")


def test_answer_of_another_issuer_is_refused(
    person: Person, idp: Provider, caplog: Log
) -> None:
    idp.faults.add("response-iss-wrong", once=True)
    assert_refused(person.sign_in(), person, caplog, **ANSWER, why="claim=iss")
    assert not [asked for asked in idp.requests if asked.path == "/token"]


def test_answer_without_issuer_is_refused_when_one_was_announced(
    person: Person, idp: Provider, caplog: Log
) -> None:
    idp.faults.add("response-iss-missing", once=True)
    assert_refused(person.sign_in(), person, caplog, **ANSWER, why="claim=iss")


def test_answer_of_a_second_provider_is_refused(person: Person, caplog: Log) -> None:
    """The mix-up: both are honest, but the answers were swapped on the way."""
    with Provider() as other:
        answer = person.come_back(person.callback(), iss=other.issuer)
    assert_refused(answer, person, caplog, **ANSWER, why="claim=iss")


@pytest.mark.parametrize("said", [{}, {"error": "invalid_request"}, {"code": "x"}])
def test_answer_to_no_question_is_refused_and_not_audited(
    person: Person, said: dict[str, str], caplog: Log
) -> None:
    """Else anybody could fill a table that is kept for good."""
    answer = person.come_back("", **said)
    assert_refused(answer, person, caplog, kind="other", status=400)
    assert not AuditEntry.objects.exists()


def test_error_without_our_state_does_not_touch_a_sign_in_under_way(
    person: Person,
) -> None:
    back = person.callback()
    person.come_back("", error="access_denied", state="invented")
    assert_signed_in(person.come_back(back), person)


# The ID token -------------------------------------------------------------------------


def test_extra_audience_is_refused(person: Person, idp: Provider, caplog: Log) -> None:
    idp.faults.add("aud-extra", once=True)
    assert_refused(person.sign_in(), person, caplog, **ANSWER, why="claim=aud")


def test_extra_audience_that_we_trust_is_accepted(
    person: Person, idp: Provider, settings: Settings
) -> None:
    set_up(settings, trusted_audiences=frozenset({"another-client"}))
    idp.faults.add("aud-extra", once=True)
    assert_signed_in(person.sign_in(), person)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"azp": "another-client"}, "claim=azp"),
        ({"aud": ["backoffice", "other"], "azp": ABSENT}, "claim=azp"),
        ({"aud": []}, "claim=aud"),
        ({"aud": 7}, "claim=aud"),
        ({"iss": ABSENT}, "claim=iss"),
        ({"sub": 7}, "claim=sub"),
        ({"sub": ""}, "claim=sub"),
        ({"sub": "a\nb"}, "claim=sub"),
        ({"sub": "x" * 256}, "claim=sub"),
        ({"sub": "\ud800"}, "claim=sub"),
        ({"sid": 7}, "claim=sid"),
        ({"sid": ""}, "claim=sid"),
        ({"exp": ABSENT}, "claim=exp"),
        ({"exp": "soon"}, "stage=token_validation"),
        ({"exp": float("inf")}, "stage=token_validation"),
        ({"iat": "0"}, "stage=token_validation"),
        ({"iat": True}, "stage=token_validation"),
        ({"nbf": []}, "stage=token_validation"),
        ({"at_hash": 7}, "claim=at_hash"),
    ],
)
def test_claim_that_is_wrong_is_refused(
    person: Person, forger: Forger, caplog: Log, changes: dict[str, Any], why: str
) -> None:
    forger.changes = changes
    assert_refused(person.sign_in(), person, caplog, **ANSWER, why=why)


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("nonce-missing", "code=nonce_mismatch"),
        ("expired", "code=response_expired"),
    ],
)
def test_token_of_another_time_is_refused(
    person: Person, idp: Provider, caplog: Log, fault: str, why: str
) -> None:
    idp.faults.add(fault, once=True)
    assert_refused(person.sign_in(), person, caplog, **EXPIRED, why=why)


def test_at_hash_of_another_access_token_is_refused(
    person: Person, idp: Provider, caplog: Log
) -> None:
    idp.faults.add("at-hash-wrong", once=True)
    assert_refused(person.sign_in(), person, caplog, **ANSWER, why="claim=at_hash")


@pytest.mark.parametrize("seconds", [-30, 30])
def test_clocks_half_a_minute_apart_are_put_up_with(
    person: Person, idp: Provider, seconds: float
) -> None:
    idp.faults.add("clock-offset", seconds=seconds)
    assert_signed_in(person.sign_in(), person)


@pytest.mark.parametrize("seconds", [-3600, -120, 120, 3600])
def test_clocks_two_minutes_apart_are_not(
    person: Person, idp: Provider, caplog: Log, seconds: float
) -> None:
    idp.faults.add("clock-offset", seconds=seconds)
    assert person.sign_in().status_code in {403, 502}
    assert person.signed_in_as is None
    assert len(refusals(caplog)) == 1


@pytest.mark.parametrize(("ahead", "is_accepted"), [(30, True), (120, False)])
def test_not_before_has_the_same_leeway(
    person: Person, forger: Forger, ahead: int, is_accepted: bool
) -> None:
    forger.changes = {"nbf": int(time.time()) + ahead}
    person.sign_in()
    assert (person.signed_in_as == SUPPORT) is is_accepted


@pytest.mark.parametrize("header", ["jku", "x5u", "jwk"])
def test_key_that_the_token_brings_along_is_not_looked_at(
    person: Person, idp: Provider, forger: Forger, caplog: Log, header: str
) -> None:
    forger.published = [KEYS[1].jwk()]
    brought = KEYS[0].jwk() if header == "jwk" else f"{idp.issuer}/elsewhere"
    forger.header = {"alg": "RS256", header: brought}
    answer = person.sign_in()
    assert_refused(answer, person, caplog, **ANSWER, why="invalid_signature")
    assert not [asked for asked in idp.requests if asked.path == "/elsewhere"]


def test_unknown_critical_header_is_refused(
    person: Person, forger: Forger, caplog: Log
) -> None:
    forger.header = {"alg": "RS256", "crit": ["b65"], "b65": True}
    assert_refused(person.sign_in(), person, caplog, **ANSWER)


# How and when they signed in ----------------------------------------------------------


def test_max_age_is_asked_for_and_a_recent_sign_in_is_accepted(
    person: Person, settings: Settings
) -> None:
    set_up(settings, max_age=300)
    assert person.asked()["max_age"] == "300"
    assert_signed_in(person.sign_in(), person)


@pytest.mark.parametrize(
    "fault", ["auth-time-zero", "auth-time-old", "auth-time-missing"]
)
def test_max_age_that_was_not_honoured_is_refused(
    person: Person, idp: Provider, settings: Settings, caplog: Log, fault: str
) -> None:
    set_up(settings, max_age=300)
    idp.faults.add(fault, once=True)
    assert_refused(person.sign_in(), person, caplog, **ANSWER, why="claim=auth_time")


def test_max_age_that_was_ignored_is_refused(
    person: Person, idp: Provider, settings: Settings, travel: Travel, caplog: Log
) -> None:
    """Signed in at the provider an hour ago, and not asked again."""
    person.authorize(person.begin()["Location"])
    travel.shift(3600)
    set_up(settings, max_age=300)
    idp.faults.add("reauthentication-ignored")
    assert_refused(person.sign_in(), person, caplog, **ANSWER, why="claim=auth_time")


@pytest.mark.parametrize("moment", [9e9, "now", True, float("nan")])
def test_auth_time_that_is_no_moment_of_the_past_is_refused(
    person: Person, forger: Forger, settings: Settings, moment: Any
) -> None:
    set_up(settings, max_age=300)
    forger.changes = {"auth_time": moment}
    assert person.sign_in().status_code == 502


@pytest.mark.parametrize("fault", ["auth-time-zero", "auth-time-missing"])
def test_auth_time_is_not_needed_when_nothing_was_asked(
    person: Person, idp: Provider, fault: str
) -> None:
    idp.faults.add(fault, once=True)
    assert_signed_in(person.sign_in(), person)
    assert person.session["sign_in"]["authenticated_at"] is None


def test_acr_that_was_asked_for_is_accepted(person: Person, settings: Settings) -> None:
    set_up(settings, acr_values=(ACR_STRONG,))
    assert person.asked()["acr_values"] == ACR_STRONG
    assert_signed_in(person.sign_in(), person)


@pytest.mark.parametrize("said", [ACR_CARD, ABSENT, [ACR_STRONG], ""])
def test_acr_that_is_not_one_of_those_asked_for_is_refused(
    person: Person, forger: Forger, settings: Settings, caplog: Log, said: Any
) -> None:
    set_up(settings, acr_values=(ACR_STRONG, "urn:example:acr:token"))
    forger.changes = {"acr": said}
    assert_refused(person.sign_in(), person, caplog, **ANSWER, why="claim=acr")


# UserInfo and groups ------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        "userinfo-sub-missing",
        "groups-missing",
        "groups-null",
        "groups-text",
        "groups-overage",
    ],
)
def test_userinfo_that_does_not_say_who_or_what_is_refused(
    person: Person, idp: Provider, caplog: Log, fault: str
) -> None:
    idp.faults.add(fault)
    assert_refused(person.sign_in(), person, caplog, **ANSWER, why="stage=user_info")


# The way to the provider --------------------------------------------------------------

ENDPOINTS = ("jwks", "token", "userinfo")


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize(
    ("fault", "kind"), [("status-500", DOWN), ("html", ANSWER), ("redirect", ANSWER)]
)
def test_provider_that_answers_something_else_is_said_to_the_person(
    person: Person,
    idp: Provider,
    caplog: Log,
    endpoint: str,
    fault: str,
    kind: dict[str, Any],
) -> None:
    idp.faults.add(fault, endpoint=endpoint)
    assert_refused(person.sign_in(), person, caplog, **kind)
    assert not [asked for asked in idp.requests if "/elsewhere" in asked.path]


@pytest.mark.parametrize("fault", ["status-500", "html", "redirect", "huge"])
def test_discovery_that_fails_refuses_at_the_start(
    person: Person, idp: Provider, caplog: Log, fault: str
) -> None:
    idp.faults.add(fault, endpoint="discovery")
    assert person.begin().status_code == 502
    assert len(refusals(caplog)) == 1
    assert person.session_key is None


def test_answer_that_is_huge_is_not_read_to_its_end(
    person: Person, idp: Provider, caplog: Log
) -> None:
    idp.faults.add("huge", endpoint="userinfo")
    answer = person.sign_in()
    assert_refused(answer, person, caplog, **ANSWER, why="malformed_response")


@pytest.mark.parametrize("fault", ["late", "drip"])
def test_provider_that_takes_its_time_is_given_up(
    person: Person,
    idp: Provider,
    monkeypatch: pytest.MonkeyPatch,
    caplog: Log,
    fault: str,
) -> None:
    monkeypatch.setattr("accounts.sso.fetch.TOTAL_SECONDS", 2.0)
    # It does answer in the end.
    idp.faults.add(fault, endpoint="userinfo", seconds=8.0)
    answer = person.sign_in()
    assert_refused(answer, person, caplog, **LATE, why="timeout")


def test_provider_that_is_gone_is_said_to_the_person(
    person: Person, idp: Provider, caplog: Log
) -> None:
    idp.stop()
    try:
        answer = person.begin()
    finally:
        idp.start()
    assert_refused(answer, person, caplog, **DOWN, why="connection_failed")


# The company's profile API ------------------------------------------------------------


@pytest.fixture
def profile_answer(settings: Settings) -> Any:
    """What the profile API answers; whoever asked last is in `asked`."""
    answer: dict[str, Any] = {}

    def respond(request: Request) -> Any:
        answer["asked"] = request
        return json_response(answer["body"])

    server = LoopbackServer(respond).start()
    set_up(settings, profile_url=f"{server.origin}/me")
    yield answer
    server.stop()


def test_profile_api_goes_before_userinfo(
    person: Person, profile_answer: dict[str, Any]
) -> None:
    profile_answer["body"] = {"department": "Elsewhere", "groups": ["staff", "x"]}
    person.sign_in()
    profile = person.session["profile"]
    assert (profile["department"], profile["groups"]) == ("Elsewhere", ["staff", "x"])
    assert profile_answer["asked"].header("Authorization").startswith("Bearer ")


def test_profile_api_that_speaks_of_somebody_else_is_refused(
    person: Person, profile_answer: dict[str, Any], caplog: Log
) -> None:
    profile_answer["body"] = {"sub": "someone-else"}
    assert_refused(person.sign_in(), person, caplog, **ANSWER, why="claim=sub")


@pytest.mark.parametrize("body", [[], None, "text"])
def test_profile_api_that_speaks_of_nobody_is_refused(
    person: Person, profile_answer: dict[str, Any], caplog: Log, body: Any
) -> None:
    profile_answer["body"] = body
    answer = person.sign_in()
    assert_refused(answer, person, caplog, **ANSWER, why="malformed_response")


# Two tabs -----------------------------------------------------------------------------


def test_second_of_two_tabs_lands_in_the_session_of_the_first(person: Person) -> None:
    """I6: also the double click, and the step back to an old answer."""
    first, second = person.callback(), person.callback()
    assert_signed_in(person.come_back(first), person)
    key = person.session_key
    for address in (first, second):
        answer = person.come_back(address)
        assert (answer.status_code, answer["Location"]) == (302, "/")
    assert person.session_key == key


# What is begun and not finished -------------------------------------------------------


def test_live_session_that_begins_again_and_again_keeps_a_few(person: Person) -> None:
    person.sign_in()
    for _ in range(MAX_OF_ONE_BROWSER + 5):
        person.begin()
    states = [key for key in person.session.keys() if "_state_" in key]  # noqa: SIM118
    assert len(states) == MAX_OF_ONE_BROWSER
    assert_signed_in(person.sign_in(), person)


def test_refusal_leaves_no_session_of_nobody(person: Person, idp: Provider) -> None:
    idp.faults.add("nonce-wrong", once=True)
    person.sign_in()
    assert person.session_key is None
