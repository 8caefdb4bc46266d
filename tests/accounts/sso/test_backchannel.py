"""The provider's word that somebody has signed out, and everything that is not that.

The names in the second part are those of the OpenID conformance suite's modules for a
relying party. That is mirroring, not certification.
"""

from __future__ import annotations

import itertools
import json
import logging
import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
import redis
from cryptography.hazmat.primitives.asymmetric import rsa
from django.contrib.sessions.backends.base import UpdateError
from django.http import HttpResponse
from django.test import Client as Browser
from pytest_django.fixtures import Settings
from social_django.utils import load_backend, load_strategy

from accounts import audit, keys
from accounts.models import AuditEntry, Revocation
from accounts.sessions import audit_copy, live
from accounts.sessions.errors import StoreUnavailable
from accounts.sessions.store import SessionStore
from accounts.sso import backchannel, discovery, keyset, replay
from accounts.sso.backchannel import MAX_BODY_BYTES
from accounts.sso.documents import (
    BURST,
    FRESH_SECONDS,
    REFILL_SECONDS,
    RENEW_SECONDS,
)
from accounts.sso.logout_token import EVENT, MAX_CHARACTERS
from backoffice.demo.provider import ABSENT, Client, Endpoint, Fault, Provider
from tests.accounts.sessions.conftest import PROFILE, is_live
from tests.accounts.sessions.test_live import refuse_sql
from tests.accounts.sso.conftest import set_up, use_provider
from tests.conftest import Travel, use_store

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

PATH = "/sso/backchannel-logout/"
CLIENT = "backoffice"
FORGED = rsa.generate_private_key(public_exponent=65537, key_size=2048)
NOWHERE = "redis://127.0.0.1:1/0"
FORM = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def _provider() -> Iterator[Provider]:
    with Provider(clients=[Client(CLIENT, "tests-only")]) as running:
        yield running


@pytest.fixture
def provider(_provider: Provider, settings: Settings) -> Iterator[Provider]:
    """The site's provider; nothing is known of its keys yet."""
    use_provider(settings, _provider)
    discovery.forget()
    keyset.forget()
    _provider.requests.clear()
    yield _provider
    _provider.faults.clear()


def unsaved(
    provider: Provider, sub: str, sid: str | None = None, since: float | None = None
) -> SessionStore:
    """A session whose sign-in, begun at `since`, has just come back."""
    session = SessionStore()
    profile = {**PROFILE, "issuer": provider.issuer, "sub": sub}
    session.begin(
        {"profile": profile, "sign_in": {"provider": "oidc"}},
        person=keys.person(provider.issuer, sub),
        origin=keys.origin(provider.issuer, sid) if sid else None,
        since=since,
    )
    return session


def begin(provider: Provider, sub: str, sid: str | None = None) -> SessionStore:
    session = unsaved(provider, sub, sid)
    session.save()
    return session


def send(token: str, by: Browser | None = None) -> HttpResponse:
    by = by or Browser(enforce_csrf_checks=True)
    return by.post(PATH, f"logout_token={token}", content_type=FORM)


def logout(provider: Provider, **said: Any) -> HttpResponse:
    return send(provider.logout_token(CLIENT, **said))


def is_refusal(answer: HttpResponse) -> bool:
    return (
        answer.status_code == 400
        and answer.content == b'{"error": "invalid_request"}'
        and answer["Content-Type"] == "application/json"
        and "no-store" in answer["Cache-Control"]
        and not answer.cookies
    )


def sentence(caplog: pytest.LogCaptureFixture) -> str:
    lines = [record.getMessage() for record in caplog.records]
    return next(line for line in reversed(lines) if line.startswith("logout_"))


# The conformance suite's cases --------------------------------------------------------


def test_oidcc_client_test_rp_backchannel_rpinitlogout(provider: Provider) -> None:
    session = begin(provider, "u-1", "s-1")
    answer = logout(provider, sub="u-1", sid="s-1")
    assert (answer.status_code, answer.content) == (200, b"")
    assert "no-store" in answer["Cache-Control"]
    assert not is_live(session)


def test_oidcc_client_test_rp_backchannel_rpinitlogout_alg_none(
    provider: Provider,
) -> None:
    session = begin(provider, "u-1", "s-1")
    assert is_refusal(logout(provider, sid="s-1", fault=Fault.ALG_NONE))
    assert is_live(session)


def test_oidcc_client_test_rp_backchannel_rpinitlogout_wrong_alg(
    provider: Provider,
) -> None:
    session = begin(provider, "u-1", "s-1")
    assert is_refusal(logout(provider, sid="s-1", fault=Fault.ALG_HS256))
    assert is_live(session)


SPOILED = {
    "no_event": {"events": ABSENT},
    "wrong_event": {"events": {"http://schemas.openid.net/event/other": {}}},
    "with_nonce": {"nonce": "n"},
    "wrong_aud": {"aud": "another-client"},
    "wrong_iss": {"iss": "https://elsewhere.example"},
}


def refuses_spoiled(provider: Provider, name: str) -> None:
    session = begin(provider, "u-1", "s-1")
    assert is_refusal(logout(provider, sub="u-1", sid="s-1", changes=SPOILED[name]))
    assert is_live(session)
    assert not Revocation.objects.exists()


def test_oidcc_client_test_rp_backchannel_rpinitlogout_no_event(
    provider: Provider,
) -> None:
    refuses_spoiled(provider, "no_event")


def test_oidcc_client_test_rp_backchannel_rpinitlogout_wrong_event(
    provider: Provider,
) -> None:
    refuses_spoiled(provider, "wrong_event")


def test_oidcc_client_test_rp_backchannel_rpinitlogout_with_nonce(
    provider: Provider,
) -> None:
    refuses_spoiled(provider, "with_nonce")


def test_oidcc_client_test_rp_backchannel_rpinitlogout_wrong_aud(
    provider: Provider,
) -> None:
    refuses_spoiled(provider, "wrong_aud")


def test_oidcc_client_test_rp_backchannel_rpinitlogout_wrong_iss(
    provider: Provider,
) -> None:
    refuses_spoiled(provider, "wrong_iss")


# BCL-01: the request ------------------------------------------------------------------


@pytest.mark.parametrize(
    "method", ["get", "head", "put", "patch", "delete", "options", "trace"]
)
def test_other_method_is_405_and_not_stored(provider: Provider, method: str) -> None:
    token = provider.logout_token(CLIENT, sid="s-1")
    answer = getattr(Browser(), method)(f"{PATH}?logout_token={token}")
    assert answer.status_code == 405
    assert "no-store" in answer["Cache-Control"]


def test_logout_makes_no_session_and_no_cookie(
    provider: Provider, store: redis.Redis
) -> None:
    answer = logout(provider, sid="s-1")
    assert answer.status_code == 200
    assert not answer.cookies
    assert store.keys(keys.ANY_VALUE.replace("{*}", "{?}")) == []


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("", FORM),
        ("logout_token=", FORM),
        ("other={token}", FORM),
        ("logout_token={token}&logout_token={token}", FORM),
        ("logout_token={token}", "text/plain"),
        ("logout_token={token}", f"{FORM}; charset=utf-16"),
        ("logout_token={token}&" + "a&" * 2000, FORM),
        ("logout_token={token}&a=" + "a" * MAX_BODY_BYTES, FORM),
        ('{{"logout_token": "{token}"}}', "application/json"),
    ],
)
def test_body_that_is_not_a_form_with_one_token_is_refused(
    provider: Provider, body: str, content_type: str
) -> None:
    token = provider.logout_token(CLIENT, sid="s-1")
    text = body.format(token=token)
    assert is_refusal(Browser().post(PATH, text, content_type=content_type))
    assert not Revocation.objects.exists()


def test_token_in_the_address_is_refused(provider: Provider) -> None:
    token = provider.logout_token(CLIENT, sid="s-1")
    assert is_refusal(
        Browser().post(f"{PATH}?logout_token={token}", "", content_type=FORM)
    )


def test_other_parameters_are_ignored(provider: Provider) -> None:
    token = provider.logout_token(CLIENT, sid="s-1")
    answer = Browser().post(PATH, f"a=1&logout_token={token}&b", content_type=FORM)
    assert answer.status_code == 200


# BCL-02 to BCL-08 ---------------------------------------------------------------------


@pytest.mark.parametrize("fault", [Fault.KEY_WRONG, Fault.KEY_UNKNOWN])
def test_signature_of_somebody_else_is_refused(
    provider: Provider, fault: Fault
) -> None:
    session = begin(provider, "u-1", "s-1")
    assert is_refusal(logout(provider, sid="s-1", fault=fault))
    assert is_live(session)


@pytest.mark.parametrize("typ", [None, "JWT"])
def test_plain_type_is_accepted_only_where_that_is_set(
    provider: Provider, settings: Settings, typ: str | None
) -> None:
    session = begin(provider, "u-1", "s-1")
    assert is_refusal(logout(provider, sid="s-1", typ=typ))
    assert is_live(session)
    set_up(settings, logout_accepts_plain_typ=True)
    assert logout(provider, sid="s-1", typ=typ).status_code == 200
    assert not is_live(session)


def test_missing_expiry_is_accepted_only_where_that_is_set(
    provider: Provider, settings: Settings
) -> None:
    session = begin(provider, "u-1", "s-1")
    assert is_refusal(logout(provider, sid="s-1", changes={"exp": ABSENT}))
    assert is_live(session)
    set_up(settings, logout_accepts_no_exp=True)
    assert logout(provider, sid="s-1", changes={"exp": ABSENT}).status_code == 200
    assert not is_live(session)


@pytest.mark.parametrize(("offset", "status"), [(-30, 200), (30, 200), (120, 400)])
def test_clocks_may_differ_by_the_leeway(
    provider: Provider, offset: float, status: int
) -> None:
    provider.faults.add(Fault.CLOCK_OFFSET, seconds=offset)
    assert logout(provider, sid="s-1").status_code == status


def test_old_token_is_refused(provider: Provider, travel: Travel) -> None:
    session = begin(provider, "u-1", "s-1")
    token = provider.logout_token(CLIENT, sid="s-1")
    travel.shift(300)
    assert is_refusal(send(token))
    assert is_live(session)


def test_neither_sub_nor_sid_is_refused(provider: Provider) -> None:
    assert is_refusal(logout(provider))


def test_id_token_is_no_logout_token(provider: Provider, settings: Settings) -> None:
    set_up(settings, logout_accepts_plain_typ=True)
    session = begin(provider, "u-1", "s-1")
    changes = {"nonce": "n", "events": ABSENT, "jti": ABSENT}
    assert is_refusal(
        logout(provider, sub="u-1", sid="s-1", changes=changes, typ="JWT")
    )
    assert is_live(session)


def test_algorithm_follows_the_one_set_for_id_tokens(
    provider: Provider, settings: Settings
) -> None:
    set_up(settings, algorithms=("ES256",))
    assert is_refusal(logout(provider, sid="s-1"))


# BCL-09: once -------------------------------------------------------------------------


def test_token_works_once_and_has_no_second_effect(
    provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    token = provider.logout_token(CLIENT, sub="u-1")
    assert send(token).status_code == 200
    later = begin(provider, "u-1", "s-2")
    assert is_refusal(send(token))
    assert is_live(later)
    assert Revocation.objects.count() == 1
    assert "used before" in sentence(caplog)


def test_failed_logout_does_not_use_the_token_up(
    provider: Provider, monkeypatch: pytest.MonkeyPatch, store: redis.Redis
) -> None:
    """A worker that dies in the middle is followed by the provider's next attempt."""
    session = begin(provider, "u-1", "s-1")
    token = provider.logout_token(CLIENT, sid="s-1")
    with monkeypatch.context() as patch:
        patch.setattr(backchannel, "_end", interrupted)
        with pytest.raises(KeyboardInterrupt):
            send(token)
    store.delete(*store.keys("bo:{i}:t:*"))  # what time would do
    assert send(token).status_code == 200
    assert not is_live(session)


def interrupted(*args: object) -> None:
    raise KeyboardInterrupt


def test_logout_stands_when_its_token_cannot_be_remembered(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store fails in the one moment after the kill."""
    session = begin(provider, "u-1", "s-1")
    monkeypatch.setattr(replay, "use_up", store_is_gone)
    assert logout(provider, sid="s-1").status_code == 200
    assert not is_live(session)


def store_is_gone(*args: object) -> None:
    raise StoreUnavailable("unreachable")


# BCL-10 and BCL-11: whose -------------------------------------------------------------


def test_sid_ends_its_sessions_and_no_other_of_the_same_person(
    provider: Provider,
) -> None:
    ended = [begin(provider, "u-1", "s-1") for _ in range(2)]
    kept = [begin(provider, "u-1", "s-2"), begin(provider, "u-2", "s-3")]
    assert logout(provider, sid="s-1").status_code == 200
    assert [is_live(session) for session in (*ended, *kept)] == [False] * 2 + [True] * 2


def test_sub_ends_all_of_the_person_and_nobody_else(provider: Provider) -> None:
    ended = [begin(provider, "u-1", "s-1"), begin(provider, "u-1")]
    kept = [begin(provider, "u-2", "s-3"), begin(provider, "u-2")]
    assert logout(provider, sub="u-1").status_code == 200
    assert [is_live(session) for session in (*ended, *kept)] == [False] * 2 + [True] * 2


def test_sub_and_sid_end_only_what_is_of_both(provider: Provider) -> None:
    """One `sid` with two people in it is a provider's mistake; it must not spread."""
    named = begin(provider, "u-1", "s-1")
    kept = [begin(provider, "u-2", "s-1"), begin(provider, "u-1", "s-2")]
    assert logout(provider, sub="u-1", sid="s-1").status_code == 200
    assert [is_live(session) for session in (named, *kept)] == [False, True, True]


def test_sub_and_sid_that_fit_nothing_end_nothing(provider: Provider) -> None:
    kept = [begin(provider, "u-2", "s-1"), begin(provider, "u-1", "s-2")]
    assert logout(provider, sub="u-1", sid="s-1").status_code == 200
    assert all(is_live(session) for session in kept)


def test_person_signs_in_again_after_a_logout(
    provider: Provider, travel: Travel
) -> None:
    assert logout(provider, sub="u-1", sid="s-1").status_code == 200
    assert logout(provider, sub="u-1").status_code == 200
    travel.shift(2)
    assert is_live(begin(provider, "u-1", "s-2"))


def test_another_provider_cannot_end_the_same_sid(provider: Provider) -> None:
    session = begin(provider, "u-1", "s-1")
    with Provider(clients=[Client(CLIENT, "x")]) as other:
        assert is_refusal(logout(other, sub="u-1", sid="s-1"))
    assert is_live(session)


def test_session_of_another_provider_with_the_same_sid_stays(
    provider: Provider,
) -> None:
    with Provider(clients=[Client(CLIENT, "x")]) as other:
        theirs = begin(other, "u-1", "s-1")
        ours = begin(provider, "u-1", "s-1")
        assert logout(provider, sub="u-1", sid="s-1").status_code == 200
        assert logout(provider, sub="u-1").status_code == 200
    assert (is_live(ours), is_live(theirs)) == (False, True)


# BCL-12: already gone -----------------------------------------------------------------


@pytest.mark.parametrize("said", [{"sid": "s-9"}, {"sub": "u-9"}], ids=["sid", "sub"])
def test_session_that_is_gone_is_no_error(
    provider: Provider, said: dict[str, str]
) -> None:
    answer = logout(provider, **said)
    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]
    entry = AuditEntry.objects.get()
    assert entry.event == audit.Event.LOGGED_OUT_BY_PROVIDER
    assert entry.details == {"ended": 0, "pending": False}


# BCL-13: the store, or SQL, is away ---------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [{"sid": "s-1"}, {"sub": "u-1"}, {"sid": "s-1", "sub": "u-1"}],
    ids=["sid", "sub", "both"],
)
def test_logout_while_the_store_is_away_is_400_and_takes_effect_later(
    provider: Provider, settings: Settings, said: dict[str, str]
) -> None:
    session, other = begin(provider, "u-1", "s-1"), begin(provider, "u-2", "s-2")
    here = settings.CACHES["sessions"]["LOCATION"]
    use_store(settings, NOWHERE)
    assert is_refusal(logout(provider, **said))
    assert Revocation.objects.get().delivered is False
    assert AuditEntry.objects.get().details == {"ended": 0, "pending": True}
    use_store(settings, here)
    assert (is_live(session), is_live(other)) == (False, True)


def test_same_token_sent_again_after_an_outage_is_accepted(
    provider: Provider, settings: Settings
) -> None:
    here = settings.CACHES["sessions"]["LOCATION"]
    token = provider.logout_token(CLIENT, sid="s-1")
    use_store(settings, NOWHERE)
    assert is_refusal(send(token))
    use_store(settings, here)
    assert send(token).status_code == 200
    assert is_refusal(send(token))


def test_logout_without_sql_ends_the_session_and_is_200(
    provider: Provider, monkeypatch: pytest.MonkeyPatch, store: redis.Redis
) -> None:
    """The store keeps the kill, sealed, until SQL can take it."""
    session = begin(provider, "u-1", "s-1")
    with monkeypatch.context() as patch:
        refuse_sql(patch)
        assert logout(provider, sid="s-1").status_code == 200
    assert not is_live(session)
    assert store.hlen(keys.UNWRITTEN) == 1
    assert live.settle() == 1
    assert Revocation.objects.get().target == f"{provider.issuer}\ns-1"


def test_logout_without_store_and_sql_is_400_and_a_loud_line(
    provider: Provider,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    use_store(settings, NOWHERE)
    refuse_sql(monkeypatch)
    assert is_refusal(logout(provider, sid="s-1"))
    assert [r.levelno for r in caplog.records if "logout_lost" in r.getMessage()] == [
        logging.ERROR
    ]


# BCL-14: a sign-in under way ----------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [{"sid": "s-1"}, {"sub": "u-1"}, {"sid": "s-1", "sub": "u-1"}],
    ids=["sid", "sub", "both"],
)
def test_logout_wins_over_a_sign_in_that_is_under_way(
    provider: Provider, said: dict[str, str]
) -> None:
    coming = unsaved(provider, "u-1", "s-1", since=time.time() - 1)
    assert logout(provider, **said).status_code == 200
    with pytest.raises(UpdateError):
        coming.save()
    assert live.count() == 0


# BCL-16: cheap refusals ---------------------------------------------------------------


def garbage(provider: Provider) -> list[str]:
    """No JWT, too long, of every wrong algorithm and type, wrong in each claim."""
    wrong: list[dict[str, Any]] = [*SPOILED.values(), {"jti": ABSENT}, {"iat": 0}]
    return [
        "",
        "a.b.c",
        "." * 100,
        "x" * (MAX_CHARACTERS + 1),
        provider.logout_token(CLIENT, sid="s-1", fault=Fault.ALG_NONE),
        provider.logout_token(CLIENT, sid="s-1", fault=Fault.ALG_HS256),
        provider.logout_token(CLIENT, sid="s-1", typ="at+jwt"),
        *(provider.logout_token(CLIENT, sid="s-1", changes=each) for each in wrong),
    ]


def test_thousand_garbage_tokens_cause_no_outbound_request(
    provider: Provider, store: redis.Redis
) -> None:
    tokens = itertools.islice(itertools.cycle(garbage(provider)), 1000)
    sender = Browser()
    assert all(is_refusal(send(token, sender)) for token in tokens)
    assert list(provider.requests) == []
    assert not Revocation.objects.exists()
    # One entry for each reason, and the note that it was made.
    noted = set(store.keys("bo:{i}:n:*"))
    assert set(store.keys()) == {*noted, keys.HELD_ENTRIES.encode()}
    assert store.hlen(keys.HELD_ENTRIES) == len(noted) <= len(garbage(provider))


def keys_asked(provider: Provider) -> int:
    return [request.path for request in provider.requests].count("/jwks")


def test_unknown_keys_cause_one_further_question_a_minute(
    provider: Provider, travel: Travel
) -> None:
    assert logout(provider, sid="s-1").status_code == 200
    for asked in (2, 3):
        travel.shift(RENEW_SECONDS + 1)
        token = provider.logout_token(CLIENT, sid="s-1", fault=Fault.KEY_UNKNOWN)
        assert all(is_refusal(send(token)) for _ in range(20))
        assert keys_asked(provider) == asked


def forged(provider: Provider, kid: str) -> str:
    """A logout token in good order, signed by somebody else under this name."""
    claims = jwt.decode(
        provider.logout_token(CLIENT, sid="s-1"), options={"verify_signature": False}
    )
    header = {"kid": kid, "typ": "logout+jwt"}
    return jwt.encode(claims, FORGED, algorithm="RS256", headers=header)


def test_flood_of_unknown_keys_causes_few_further_requests_a_minute(
    provider: Provider, travel: Travel
) -> None:
    assert logout(provider, sid="s-1").status_code == 200
    tokens = [forged(provider, f"forged-{number}") for number in range(200)]
    assert all(is_refusal(send(token)) for token in tokens)
    assert keys_asked(provider) == 1 + BURST
    travel.shift(RENEW_SECONDS)
    tokens = [forged(provider, f"forged-{number}") for number in range(200, 220)]
    assert all(is_refusal(send(token)) for token in tokens)
    assert keys_asked(provider) == 1 + BURST + RENEW_SECONDS // REFILL_SECONDS


def test_new_key_right_after_a_forged_one_is_believed_at_once(
    provider: Provider,
) -> None:
    assert logout(provider, sid="s-1").status_code == 200
    assert is_refusal(send(forged(provider, "forged")))
    provider.rotate_keys()
    assert logout(provider, sid="s-2").status_code == 200


def test_new_key_after_a_flood_of_forged_ones_is_believed_before_long(
    provider: Provider, travel: Travel
) -> None:
    assert logout(provider, sid="s-1").status_code == 200
    for number in range(20):
        send(forged(provider, f"forged-{number}"))
    provider.rotate_keys()
    travel.shift(REFILL_SECONDS)
    # Whoever makes us ask, everybody profits.
    send(forged(provider, "one-more"))
    assert logout(provider, sid="s-2").status_code == 200


def test_known_key_causes_no_further_question(provider: Provider) -> None:
    for number in range(5):
        assert logout(provider, sid=f"s-{number}").status_code == 200
    assert keys_asked(provider) == 1


def test_provider_that_does_not_answer_is_not_asked_by_every_token(
    provider: Provider,
) -> None:
    provider.faults.add(Fault.STATUS_500, endpoint=Endpoint.JWKS)
    assert all(is_refusal(logout(provider, sid="s-1")) for _ in range(5))
    assert keys_asked(provider) == 1


def test_failed_question_leaves_the_known_keys_in_use(provider: Provider) -> None:
    assert logout(provider, sid="s-1").status_code == 200
    provider.faults.add(Fault.STATUS_500, endpoint=Endpoint.JWKS)
    assert is_refusal(logout(provider, sid="s-2", fault=Fault.KEY_UNKNOWN))
    assert logout(provider, sid="s-2").status_code == 200


def test_new_key_of_the_provider_is_believed_at_once(provider: Provider) -> None:
    assert logout(provider, sid="s-1").status_code == 200
    provider.rotate_keys()
    assert logout(provider, sid="s-2").status_code == 200


def test_key_that_was_taken_back_stops_working(
    provider: Provider, travel: Travel
) -> None:
    assert logout(provider, sid="s-1").status_code == 200
    travel.shift(FRESH_SECONDS)
    token = provider.logout_token(CLIENT, sid="s-2")
    provider.rotate_keys()
    provider.drop_old_keys()
    assert is_refusal(send(token))


# BCL-17: log and audit ----------------------------------------------------------------


def test_accepted_logout_is_logged_and_audited_by_names_that_tell_nothing(
    provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    session = begin(provider, "u-1", "a-telling-sid")
    session_id = str(session.session_id)
    with caplog.at_level(logging.INFO):
        logout(provider, sid="a-telling-sid", changes={"jti": "a-telling-jti"})
    token = keys.logout_token(provider.issuer, "a-telling-jti").rpartition(":")[2]
    origin = keys.origin(provider.issuer, "a-telling-sid").rpartition(":")[2]
    assert sentence(caplog) == f"logout_accepted ended=1 jti={token} sid={origin}"
    assert "telling" not in caplog.text
    entry = AuditEntry.objects.get(session_id=session_id)
    assert entry.event == audit.Event.LOGGED_OUT_BY_PROVIDER
    assert (entry.actor, entry.subject) == ("provider", "haneul")
    assert entry.reason == f"back-channel logout, jti={token} sid={origin}"


def test_refused_logout_is_logged_with_its_reason_and_audited_once(
    provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        logout(provider, sid="s-1", changes={"events": {EVENT: None}})
    assert "because=events does not hold a logout jti=" in sentence(caplog)
    assert "s-1" not in caplog.text
    assert audit_copy.settle() == 1
    entry = AuditEntry.objects.get()
    assert entry.event == audit.Event.LOGOUT_REFUSED
    assert entry.reason == "events does not hold a logout"
    assert "s-1" not in json.dumps(entry.details)


def test_log_takes_no_words_from_the_token(
    provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    changes = {"jti": "x\nlogout_accepted", "iss": "x\nlogout_accepted"}
    logout(provider, sid="x\nlogout_accepted", changes=changes)
    assert "logout_accepted" not in caplog.text
    assert sentence(caplog).endswith("jti=- sid=-")


# BCL-15 and BCL-18 --------------------------------------------------------------------


@pytest.mark.parametrize("said", [{"sub": "u-1"}, {"sub": "u-1", "sid": "s-1"}])
def test_thousand_sessions_of_one_person(
    provider: Provider, said: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(1000):
        begin(provider, "u-1", "s-1")
    logout(provider, sid="s-0")  # fetches the keys
    began = time.perf_counter()
    assert logout(provider, **said).status_code == 200
    seconds = time.perf_counter() - began
    with capsys.disabled():
        print(f" [1,000 sessions ended in {seconds:.2f} s]", end="")  # noqa: T201
    assert live.count() == 0


def test_no_refresh_token_is_kept_that_could_outlive_the_session() -> None:
    kept = load_backend(load_strategy(), "oidc", None).extra_data(
        None, "", {"refresh_token": "r"}, {}, {}
    )
    assert kept == {}
