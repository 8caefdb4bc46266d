"""Between sign-ins: what the provider is asked, and what comes of each answer.

Each test walks through renewal by itself, in its own thread; that requests hand it to
a thread of its own is in test_renewal_queue.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis
from django.db import DatabaseError, connection
from pytest_django.fixtures import Settings

from accounts.models import AuditEntry, Revocation, Suspension, User
from accounts.rights import PERMISSIONS, Role
from accounts.sessions import amend, live
from accounts.sessions.errors import SessionStoreError
from accounts.sessions.selection import Selection
from accounts.sessions.signals import touched
from accounts.sso import keyset, refresh, renewal, renewal_queue
from accounts.sso.renewal import Result
from backoffice.demo.loopback import LoopbackServer
from backoffice.demo.messages import Request, Response, json_response
from backoffice.demo.provider import Provider
from tests.accounts.sso.conftest import set_up
from tests.accounts.sso.forger import Forger
from tests.accounts.sso.person import ADMIN, SUPPORT, Person, move
from tests.conftest import Travel, use_store

RENEW = 900


@pytest.fixture(autouse=True)
def renewing(idp: Provider, settings: Settings) -> Iterator[None]:
    set_up(settings, renew_seconds=RENEW)
    touched.disconnect(renewal_queue.note_use)
    yield
    touched.connect(renewal_queue.note_use)


@pytest.fixture
def due(person: Person, travel: Travel) -> Person:
    """Signed in, and the time to ask again has come."""
    person.sign_in()
    travel.shift(RENEW + 1)
    return person


def session_id(person: Person) -> str:
    return str(person.session.session_id)


def held(person: Person) -> list[Any]:
    found: list[Any] = person.session["renewal"]
    return found


def asked(idp: Provider) -> list[Request]:
    """The requests in which a refresh token was used."""
    return [
        each
        for each in idp.requests
        if each.path == "/token" and each.form["grant_type"] == "refresh_token"
    ]


def lines(caplog: pytest.LogCaptureFixture, word: str) -> list[str]:
    found = [record.getMessage() for record in caplog.records]
    return [line for line in found if line.startswith(word)]


def assert_goes_on(person: Person, result: Result) -> None:
    assert result is Result.POSTPONED
    assert person.signed_in_as == SUPPORT
    assert not AuditEntry.objects.filter(event="session:renewal-refused").exists()


def assert_ended(person: Person, result: Result) -> None:
    assert result is Result.ENDED
    assert person.signed_in_as is None
    assert live.count() == 0
    assert AuditEntry.objects.filter(
        event="session:renewal-refused", actor="provider"
    ).exists()


# What is kept -------------------------------------------------------------------------


def test_refresh_token_lies_in_the_session_and_nowhere_in_sql(
    person: Person, store: redis.Redis
) -> None:
    person.sign_in()
    token = held(person)[0]
    assert person.provider.state.knows_refresh(token)
    rows = "\n".join(
        str(connection.cursor().execute(f'SELECT * FROM "{table}"').fetchall())
        for table in connection.introspection.table_names()
    )
    assert token not in rows
    values = b"".join(store.dump(name) or b"" for name in store.scan_iter(count=1000))
    assert token.encode() not in values


@pytest.mark.parametrize("scopes", [(), ("offline_access",)])
def test_nothing_is_kept_or_asked_for_when_nothing_would_use_it(
    person: Person, settings: Settings, scopes: tuple[str, ...]
) -> None:
    set_up(settings, renew_seconds=0, scopes=scopes)
    assert "offline_access" not in person.asked()["scope"]
    person.sign_in()
    assert held(person) is None


def test_offline_access_is_asked_for_where_it_is_set(
    person: Person, settings: Settings
) -> None:
    assert "offline_access" not in person.asked()["scope"]
    set_up(settings, scopes=("offline_access",))
    assert "offline_access" in person.asked()["scope"]


def test_token_kept_from_before_it_was_switched_off_is_dropped(
    due: Person, settings: Settings
) -> None:
    set_up(settings, renew_seconds=0)
    assert renewal.renew(session_id(due)) is Result.NOT_DUE
    assert held(due) is None


# When ---------------------------------------------------------------------------------


def test_nothing_is_asked_before_it_is_due(
    person: Person, idp: Provider, travel: Travel
) -> None:
    person.sign_in()
    travel.shift(RENEW - 5)
    assert renewal.renew(session_id(person)) is Result.NOT_DUE
    assert not asked(idp)


def test_session_without_a_token_is_never_due(
    person: Person, settings: Settings, travel: Travel
) -> None:
    set_up(settings, renew_seconds=0)
    person.sign_in()
    set_up(settings, renew_seconds=RENEW)
    travel.shift(RENEW + 1)
    assert renewal.renew(session_id(person)) is Result.NOT_DUE


def test_renewal_is_no_use_and_lengthens_nothing(
    due: Person, store: redis.Redis
) -> None:
    name = f"bo:{{{session_id(due)[0]}}}:s:{session_id(due)}"
    before = store.pexpiretime(name)
    record = amend.read(session_id(due))
    renewal.renew(session_id(due))
    after = amend.read(session_id(due))
    assert record
    assert after
    assert store.pexpiretime(name) == before
    assert (after.began, after.ends) == (record.began, record.ends)


# Yes ----------------------------------------------------------------------------------


def test_oidcc_client_test_refresh_token(due: Person, idp: Provider) -> None:
    first = held(due)[0]
    assert renewal.renew(session_id(due)) is Result.RENEWED
    (request,) = asked(idp)
    assert request.form["refresh_token"] == first
    assert "client_secret" not in request.form
    assert held(due)[0] != first
    assert idp.state.knows_refresh(held(due)[0])


def test_next_renewal_uses_the_next_token(due: Person, travel: Travel) -> None:
    for _ in range(3):
        assert renewal.renew(session_id(due)) is Result.RENEWED
        travel.shift(RENEW + 1)
        due.site.get("/")


def test_provider_that_keeps_its_token_is_asked_with_it_again(
    due: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, ask = held(due)[0], refresh.ask

    def without_a_new_one(*args: Any) -> dict[str, Any]:
        answer = ask(*args)
        del answer["refresh_token"]
        return answer

    monkeypatch.setattr(refresh, "ask", without_a_new_one)
    assert renewal.renew(session_id(due)) is Result.RENEWED
    assert held(due)[0] == first


def test_changed_groups_act_at_the_next_request(due: Person, idp: Provider) -> None:
    move(idp, SUPPORT, "staff", "finance")
    renewal.renew(session_id(due))
    assert due.session["profile"]["groups"] == ["staff", "finance"]
    entry = AuditEntry.objects.get(event="session:renewed")
    assert entry.details == {"groups_won": ["finance"], "groups_lost": ["support"]}


def test_changed_groups_are_found_by_a_filter(due: Person, idp: Provider) -> None:
    move(idp, SUPPORT, "staff", "finance")
    renewal.renew(session_id(due))
    assert live.select(Selection(group="finance")).total == 1
    assert live.select(Selection(group="support")).total == 0


def test_changed_groups_act_in_every_session_of_the_person(
    due: Person, another: Person, idp: Provider
) -> None:
    another.sign_in()
    move(idp, SUPPORT, "staff", "finance")
    renewal.renew(session_id(due))
    assert another.session["profile"]["groups"] == ["staff", "finance"]


def test_changed_name_reaches_the_account(due: Person, idp: Provider) -> None:
    idp.state.staff[SUPPORT] = replace(idp.state.staff[SUPPORT], name="Another Name")
    renewal.renew(session_id(due))
    assert User.objects.get(sub=SUPPORT).name == "Another Name"
    assert due.session["profile"]["name"] == "Another Name"


def test_unchanged_person_leaves_nothing_in_the_audit(due: Person) -> None:
    before = AuditEntry.objects.count()
    renewal.renew(session_id(due))
    assert AuditEntry.objects.count() == before


def test_profile_api_is_asked_again(due: Person, settings: Settings) -> None:
    def respond(request: Request) -> Any:
        return json_response({"department": "Elsewhere", "groups": ["staff", "x"]})

    server = LoopbackServer(respond).start()
    set_up(settings, profile_url=f"{server.origin}/me")
    try:
        renewal.renew(session_id(due))
    finally:
        server.stop()
    assert due.session["profile"]["department"] == "Elsewhere"


def test_what_a_request_wrote_meanwhile_stays(due: Person, idp: Provider) -> None:
    session = due.session
    session["draft"] = "x"
    move(idp, SUPPORT, "staff", "finance")
    renewal.renew(session_id(due))
    session.save()
    assert due.session["draft"] == "x"
    assert due.session["profile"]["groups"] == ["staff", "finance"]
    assert idp.state.knows_refresh(held(due)[0])


def test_renewal_makes_no_sign_in_fresher(due: Person, forger: Forger) -> None:
    before = due.session["sign_in"]["authenticated_at"]
    forger.changes = {"auth_time": int(time.time())}
    keyset.forget()
    assert renewal.renew(session_id(due)) is Result.RENEWED
    assert due.session["sign_in"]["authenticated_at"] == before


def test_answer_without_an_id_token_takes_groups_from_userinfo(
    due: Person, idp: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_id_token(monkeypatch)
    move(idp, SUPPORT, "staff", "finance")
    assert renewal.renew(session_id(due)) is Result.RENEWED
    assert due.session["profile"]["groups"] == ["staff", "finance"]


def test_answer_that_says_nothing_of_groups_changes_nothing(
    person: Person,
    idp: Provider,
    settings: Settings,
    travel: Travel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They came in the ID token, and a refresh brings none."""
    set_up(settings, scopes=("groups",))
    person.sign_in()
    travel.shift(RENEW + 1)
    without_id_token(monkeypatch)
    idp.faults.add("groups-missing")
    assert renewal.renew(session_id(person)) is Result.RENEWED
    assert person.session["profile"]["groups"] == ["staff", "support"]


def without_id_token(monkeypatch: pytest.MonkeyPatch) -> None:
    ask = refresh.ask

    def asked(*args: Any) -> dict[str, Any]:
        answer = ask(*args)
        del answer["id_token"]
        return answer

    monkeypatch.setattr(refresh, "ask", asked)


# Rights -------------------------------------------------------------------------------


def test_lost_admin_rights_go_at_once_and_are_recorded(
    person: Person, another: Person, idp: Provider, travel: Travel
) -> None:
    person.sign_in(ADMIN)
    another.sign_in(ADMIN)
    travel.shift(RENEW + 1)
    move(idp, ADMIN, "staff")
    renewal.renew(session_id(person))
    assert not User.objects.get(sub=ADMIN).get_all_permissions()
    assert person.site.get("/admin/accounts/livesession/").status_code in {302, 403}
    assert [person.signed_in_as, another.signed_in_as] == [ADMIN, None]
    entry = AuditEntry.objects.filter(event="rights:changed").latest("pk")
    assert entry.details == {"roles": [], "before": ["Security admins"]}


def test_won_admin_rights_come_without_a_sign_in(due: Person, idp: Provider) -> None:
    move(idp, SUPPORT, "staff", "security-admins")
    renewal.renew(session_id(due))
    names = {f"accounts.{name}" for name in PERMISSIONS[Role.ADMIN]}
    assert User.objects.get(sub=SUPPORT).get_all_permissions() == names


# No -----------------------------------------------------------------------------------


def test_refused_token_ends_the_session_at_once(due: Person, idp: Provider) -> None:
    idp.faults.add("refresh-refused")
    assert_ended(due, renewal.renew(session_id(due)))
    assert Revocation.objects.exists()
    entry = AuditEntry.objects.get(event="session:renewal-refused")
    assert entry.reason == "reauthentication_required"


def test_session_that_ended_at_the_provider_ends_here(
    due: Person, idp: Provider
) -> None:
    idp.state.end_session(due.session["sign_in"]["sid"])
    assert_ended(due, renewal.renew(session_id(due)))


def test_no_longer_staff_ends_everything_of_the_person(
    due: Person, another: Person, idp: Provider
) -> None:
    another.sign_in()
    move(idp, SUPPORT, "contractors")
    assert renewal.renew(session_id(due)) is Result.ENDED
    assert live.count() == 0


def test_suspended_person_loses_everything(
    due: Person, another: Person, idp: Provider
) -> None:
    """Suspended behind our back, by a row that tells nobody."""
    another.sign_in()
    Suspension.objects.create(issuer=idp.issuer, sub=SUPPORT, name="x")
    assert renewal.renew(session_id(due)) is Result.ENDED
    assert live.count() == 0


def test_deleted_account_does_not_come_back(due: Person) -> None:
    (user,) = User.objects.filter(sub=SUPPORT)
    for table in ("social_auth_usersocialauth",):
        connection.cursor().execute(f"DELETE FROM {table}")
    User.objects.filter(pk=user.pk)._raw_delete("default")
    assert renewal.renew(session_id(due)) is Result.ENDED
    assert not User.objects.filter(sub=SUPPORT).exists()


@pytest.mark.parametrize(
    "fault", ["groups-missing", "groups-null", "groups-text", "groups-overage"]
)
def test_no_word_about_groups_ends_the_session(
    due: Person, idp: Provider, fault: str
) -> None:
    idp.faults.add(fault)
    assert_ended(due, renewal.renew(session_id(due)))


def test_string_of_groups_is_read_as_at_the_sign_in(
    due: Person, idp: Provider, settings: Settings
) -> None:
    set_up(settings, groups_string=True)
    idp.faults.add("groups-text")
    assert renewal.renew(session_id(due)) is Result.RENEWED
    assert due.session["profile"]["groups"] == ["staff"]


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        pytest.param("iss", "https://elsewhere.example", id="invalid-issuer"),
        pytest.param("sub", "demo-1005", id="invalid-sub"),
        pytest.param("aud", "another-client", id="invalid-aud"),
        pytest.param("aud", ["backoffice", "another-client"], id="extra-aud"),
        pytest.param("azp", "another-client", id="invalid-azp"),
        pytest.param("nonce", "not-the-one-of-then", id="invalid-nonce"),
    ],
)
def test_oidcc_client_test_refresh_token_invalid(
    due: Person, forger: Forger, claim: str, value: Any
) -> None:
    """`-invalid-issuer` and `-invalid-sub` of the suite, and wrong aud and azp."""
    keyset.forget()
    forger.changes = {claim: value}
    assert_ended(due, renewal.renew(session_id(due)))


def test_userinfo_of_somebody_else_ends_the_session(due: Person, idp: Provider) -> None:
    idp.faults.add("userinfo-sub-wrong")
    assert_ended(due, renewal.renew(session_id(due)))


# Nothing that could be believed -------------------------------------------------------


@pytest.mark.parametrize("endpoint", ["token", "userinfo"])
@pytest.mark.parametrize("fault", ["status-500", "html", "redirect", "huge"])
def test_provider_that_answers_something_else_ends_nothing(
    due: Person, idp: Provider, endpoint: str, fault: str
) -> None:
    idp.faults.add(fault, endpoint=endpoint)
    assert_goes_on(due, renewal.renew(session_id(due)))
    assert not [each for each in idp.requests if "/elsewhere" in each.path]


@pytest.mark.parametrize(
    "fault", ["key-wrong", "key-unknown", "alg-none", "alg-hs256", "at-hash-wrong"]
)
def test_id_token_that_nobody_signed_ends_nothing_and_changes_nothing(
    due: Person, idp: Provider, fault: str
) -> None:
    idp.faults.add(fault)
    move(idp, SUPPORT, "staff", "security-admins")
    assert_goes_on(due, renewal.renew(session_id(due)))
    assert due.session["profile"]["groups"] == ["staff", "support"]


@pytest.mark.parametrize("fault", ["userinfo-sub-missing", "expired", "iat-missing"])
def test_answer_that_is_incomplete_or_late_ends_nothing(
    due: Person, idp: Provider, fault: str
) -> None:
    idp.faults.add(fault)
    assert_goes_on(due, renewal.renew(session_id(due)))


@pytest.mark.parametrize("seconds", [-3600.0, -120.0, 120.0, 3600.0])
def test_clock_of_the_provider_that_is_off_ends_nothing(
    due: Person, idp: Provider, seconds: float
) -> None:
    idp.faults.add("clock-offset", seconds=seconds)
    assert_goes_on(due, renewal.renew(session_id(due)))


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": "soon"},
        {"iat": [1]},
        {"nbf": {"at": 1}},
        {"aud": [5]},
        {"aud": 5},
        {"sub": 5},
        {"iss": ["x"]},
        {"at_hash": 1},
    ],
)
def test_claims_of_no_use_change_nothing(
    due: Person, forger: Forger, idp: Provider, changes: dict[str, Any]
) -> None:
    keyset.forget()
    forger.changes = changes
    move(idp, SUPPORT, "staff", "finance")
    assert renewal.renew(session_id(due)) in {Result.POSTPONED, Result.ENDED}
    record = due.session.record
    assert record is None or record.data["profile"]["groups"] == ["staff", "support"]


@pytest.mark.parametrize("body", ["[]", "null", '"x"', "{}", "[" * 100_000, "\0", ""])
def test_garbage_in_place_of_tokens_ends_nothing(
    due: Person, monkeypatch: pytest.MonkeyPatch, settings: Settings, body: str
) -> None:
    def respond(request: Request) -> Response:
        headers = (("Content-Type", "application/json"),)
        return Response(200, headers, body.encode())

    server = LoopbackServer(respond).start()
    monkeypatch.setattr(
        renewal.StaffOpenIdConnect, "refresh_token_url", lambda self: server.origin
    )
    try:
        assert_goes_on(due, renewal.renew(session_id(due)))
    finally:
        server.stop()


@pytest.mark.parametrize("value", [None, 5, "", ["x"], "x" * 20_000])
def test_refresh_token_of_no_use_leaves_the_old_one(
    due: Person, monkeypatch: pytest.MonkeyPatch, value: Any
) -> None:
    first, ask = held(due)[0], refresh.ask
    monkeypatch.setattr(
        refresh, "ask", lambda *args: {**ask(*args), "refresh_token": value}
    )
    assert renewal.renew(session_id(due)) is Result.RENEWED
    assert held(due)[0] == first


def test_profile_that_no_record_can_hold_ends_the_session(
    due: Person, idp: Provider
) -> None:
    move(idp, SUPPORT, "staff", *(f"group {number}" * 20 for number in range(1000)))
    assert_ended(due, renewal.renew(session_id(due)))


def test_sql_that_is_away_ends_nothing(
    due: Person, idp: Provider, travel: Travel
) -> None:
    identifier = session_id(due)
    with connection.execute_wrapper(refuse):
        assert renewal.renew(identifier) is Result.POSTPONED
    travel.shift(61)
    assert renewal.renew(identifier) is Result.RENEWED


def refuse(*args: Any) -> None:
    raise DatabaseError("away")


def test_auth_time_before_that_of_the_sign_in_is_not_believed(
    due: Person, forger: Forger
) -> None:
    keyset.forget()
    forger.changes = {"auth_time": 1_000_000_000}
    assert_goes_on(due, renewal.renew(session_id(due)))


def test_secret_that_the_provider_does_not_know_ends_nothing(
    due: Person, settings: Settings
) -> None:
    set_up(settings, client_secret="another one")
    assert_goes_on(due, renewal.renew(session_id(due)))


def test_provider_that_is_gone_is_asked_ever_less_often(
    due: Person, idp: Provider, travel: Travel
) -> None:
    idp.stop()
    waits = []
    try:
        for _ in range(6):
            assert renewal.renew(session_id(due)) is Result.POSTPONED
            waits.append(round(held(due)[1] - time.time()))
            travel.shift(waits[-1] + 1)
            due.site.get("/")
    finally:
        idp.start()
    assert waits == pytest.approx([60, 120, 240, 480, 900, 900], abs=1)
    travel.shift(RENEW)
    assert renewal.renew(session_id(due)) is Result.RENEWED
    assert held(due)[2] == 0


def test_provider_that_hangs_is_given_up(
    due: Person, idp: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("accounts.sso.fetch.TOTAL_SECONDS", 0.2)
    idp.faults.add("late", endpoint="token", seconds=1.0)
    assert_goes_on(due, renewal.renew(session_id(due)))


def test_outage_lengthens_no_session(
    due: Person, idp: Provider, travel: Travel, settings: Settings
) -> None:
    idp.faults.add("status-500")
    for _ in range(settings.SESSION_ABSOLUTE_SECONDS // 600):
        renewal.renew(session_id(due))
        travel.shift(600)
        due.site.get("/sign-in/")
        if due.signed_in_as is None:
            break
    assert due.signed_in_as is None


def test_token_is_kept_although_the_rest_failed(
    due: Person, idp: Provider, travel: Travel
) -> None:
    """The provider rotates: the first token would look stolen the second time."""
    first = held(due)[0]
    idp.faults.add("status-500", endpoint="userinfo")
    keyset.forget()
    idp.faults.add("status-500", endpoint="jwks")
    renewal.renew(session_id(due))
    assert held(due)[0] != first
    idp.faults.clear()
    travel.shift(61)
    assert renewal.renew(session_id(due)) is Result.RENEWED


def test_token_is_kept_although_the_store_was_away(
    due: Person,
    idp: Provider,
    settings: Settings,
    store: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    identifier, first, ask = session_id(due), held(due)[0], refresh.ask
    url = settings.CACHES["sessions"]["LOCATION"]
    monkeypatch.setattr(renewal, "PAUSES_TO_KEEP", (0.0, 0.0, 0.0))

    def store_goes(*args: Any) -> dict[str, Any]:
        answer = ask(*args)
        use_store(settings, "redis://127.0.0.1:1/0")
        return answer

    def store_comes(seconds: float) -> None:
        use_store(settings, url)

    monkeypatch.setattr(refresh, "ask", store_goes)
    monkeypatch.setattr(renewal.time, "sleep", store_comes)
    assert renewal.renew(identifier) is Result.RENEWED
    assert held(due)[0] != first


# At the same time ---------------------------------------------------------------------


def test_two_who_renew_at_once_ask_once(due: Person, idp: Provider) -> None:
    """The second comes while the first is waiting for the provider."""
    seen: list[Result] = []
    ask = refresh.ask

    def second_comes(*args: Any) -> dict[str, Any]:
        seen.append(renewal.renew(session_id(due)))
        return ask(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(refresh, "ask", second_comes)
        assert renewal.renew(session_id(due)) is Result.RENEWED
    assert seen == [Result.BUSY]
    assert len(asked(idp)) == 1
    assert renewal.renew(session_id(due)) is Result.NOT_DUE


def test_turn_of_somebody_who_died_runs_out(due: Person, store: redis.Redis) -> None:
    with amend.turn(session_id(due), 60):
        (name,) = store.scan_iter(match="bo:{*}:r:*")
        assert 0 < store.ttl(name) <= 60
        store.delete(name)
        with amend.turn(session_id(due), 60) as theirs:
            assert theirs
        store.set(name, b"somebody else's")
    assert store.get(name) == b"somebody else's"


def killed(due: Person) -> None:
    live.end([session_id(due)], by="desk")


def logged_out(due: Person) -> None:
    found = due.session
    live.end_origin(found["profile"]["issuer"], found["sign_in"]["sid"], by="provider")


def signed_out(due: Person) -> None:
    due.session.flush()


@pytest.mark.parametrize("end", [killed, logged_out, signed_out])
def test_session_that_ends_meanwhile_stays_dead_and_its_token_is_given_back(
    due: Person,
    idp: Provider,
    monkeypatch: pytest.MonkeyPatch,
    end: Callable[[Person], None],
) -> None:
    ask, received = refresh.ask, []

    def asked_then_ended(*args: Any) -> dict[str, Any]:
        answer = ask(*args)
        received.append(answer["refresh_token"])
        end(due)
        return answer

    monkeypatch.setattr(refresh, "ask", asked_then_ended)
    identifier = session_id(due)
    assert renewal.renew(identifier) is Result.GONE
    assert due.signed_in_as is None
    assert live.count() == 0
    assert not idp.state.knows_refresh(received[0])


def test_session_that_is_moved_meanwhile_keeps_its_own_token(
    due: Person, idp: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step-up brought another token; at some providers they fall together."""
    ask, patched = refresh.ask, []

    def asked_then_moved(*args: Any) -> dict[str, Any]:
        answer = ask(*args)
        if not patched:
            patched.append(answer)
            begun = due.site.post("/sso/step-up/", {"next": "/"})
            due.come_back(due.authorize(begun["Location"]))
        return answer

    monkeypatch.setattr(refresh, "ask", asked_then_moved)
    assert renewal.renew(session_id(due)) is Result.GONE
    assert not [each for each in idp.requests if each.path == "/revoke"]
    assert idp.state.knows_refresh(held(due)[0])


def test_step_up_without_a_new_token_drops_the_old_one(
    due: Person, settings: Settings
) -> None:
    set_up(settings, renew_seconds=0)
    begun = due.site.post("/sso/step-up/", {"next": "/"})
    due.come_back(due.authorize(begun["Location"]))
    assert held(due) is None


def test_outage_of_the_store_asks_nobody(
    due: Person, idp: Provider, settings: Settings
) -> None:
    identifier = session_id(due)
    use_store(settings, "redis://127.0.0.1:1/0")
    with pytest.raises(SessionStoreError):
        renewal.renew(identifier)
    assert not asked(idp)


# Giving back --------------------------------------------------------------------------


def test_revoked_token_is_told_to_the_provider(person: Person, idp: Provider) -> None:
    person.sign_in()
    token = held(person)[0]
    backend = renewal.load_backend(renewal.load_strategy(), "oidc", None)
    assert refresh.revoke(backend, token)
    assert not idp.state.knows_refresh(token)


@pytest.mark.parametrize("fault", ["status-500", "html", "redirect"])
def test_revocation_that_fails_is_no_error(
    person: Person, idp: Provider, fault: str
) -> None:
    person.sign_in()
    idp.faults.add(fault, endpoint="revoke")
    backend = renewal.load_backend(renewal.load_strategy(), "oidc", None)
    assert refresh.revoke(backend, held(person)[0]) in {True, False}
