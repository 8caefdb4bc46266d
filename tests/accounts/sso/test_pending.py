"""Sign-ins that somebody starts and nobody finishes: the browser keeps them, not we."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from django.conf import settings as site_settings
from django.contrib.auth.models import AnonymousUser
from django.http import HttpResponse
from django.test import Client as Browser
from django.test import RequestFactory
from pytest_django.fixtures import Settings
from social_django.models import Association, Code, Nonce, Partial
from social_django.views import auth

from accounts import keys
from accounts.sessions import live
from accounts.sessions.store import SessionStore
from accounts.sso import pending
from accounts.sso.pending import (
    MAX_CHARACTERS,
    USED_SECONDS,
    PendingSignIns,
    use_state,
)
from backoffice.demo.provider import Provider
from tests.accounts.sso.conftest import set_up
from tests.accounts.sso.person import (
    BEGIN,
    COMPLETE,
    SUPPORT,
    Person,
    assert_refused,
    assert_signed_in,
    refusals,
)
from tests.conftest import Travel, use_store

Log = pytest.LogCaptureFixture
COOKIE = "sign_in"


def rows() -> int:
    return sum(table.objects.count() for table in (Association, Code, Nonce, Partial))


def exchanged(idp: Provider) -> int:
    return sum(asked.path == "/token" for asked in idp.requests)


def start_elsewhere() -> str:
    """Starts a sign-in in a new browser, past the test client; gives the cookie."""
    request = RequestFactory().post(BEGIN)
    request.session, request.user = SessionStore(), AnonymousUser()
    response = auth(request, "oidc")
    assert response.status_code == 302
    pending.keep(request, response)
    return str(response.cookies[COOKIE].value)


# What is kept -------------------------------------------------------------------------


def test_started_sign_in_leaves_nothing_in_sql_and_in_the_store(
    person: Person, store: redis.Redis
) -> None:
    for _ in range(20):
        assert person.begin().status_code == 302
    assert rows() == 0
    assert store.dbsize() == 0


def test_five_thousand_started_sign_ins_leave_nothing_in_sql_and_in_the_store(
    idp: Provider, store: redis.Redis
) -> None:
    """SES-16."""
    assert len({start_elsewhere() for _ in range(5000)}) == 5000
    assert rows() == 0
    assert store.dbsize() == 0
    assert (live.count(), live.page()) == (0, [])


def test_sign_in_under_way_survives_any_number_of_others(person: Person) -> None:
    back = person.callback()
    for _ in range(1000):
        start_elsewhere()
    assert_signed_in(person.come_back(back), person)


def test_started_sign_in_is_a_cookie_that_only_we_can_read(person: Person) -> None:
    asked = person.asked()
    assert set(person.site.cookies) == {COOKIE}
    cookie = person.site.cookies[COOKIE]
    assert asked["state"] not in cookie.value
    assert asked["nonce"] not in cookie.value
    assert (cookie["path"], cookie["samesite"]) == ("/", "Lax")
    assert cookie["httponly"]
    assert cookie["max-age"] == site_settings.SESSION_SIGN_IN_SECONDS == 600


def test_finished_sign_in_leaves_notes_of_minutes_and_no_cookie(
    person: Person, store: redis.Redis
) -> None:
    assert_signed_in(person.sign_in(), person)
    assert rows() == 0
    assert not person.site.cookies[COOKIE].value
    (note,) = store.keys("bo:{i}:d:*")
    assert store.get(note) == b""
    assert store.zcard(keys.USED_STATES) == 1
    for name in (note, keys.USED_STATES):
        assert 600 <= store.ttl(name) <= 700


def test_refused_sign_in_leaves_no_cookie_and_its_used_state(
    person: Person, idp: Provider, store: redis.Redis
) -> None:
    idp.faults.add("nonce-wrong", once=True)
    assert person.sign_in().status_code == 403
    assert not person.site.cookies[COOKIE].value
    assert not store.keys("bo:{i}:d:*")
    assert store.zcard(keys.USED_STATES) == 1


def test_response_without_a_sign_in_of_this_browser_leaves_nothing(
    person: Person, store: redis.Redis
) -> None:
    back = person.callback().removeprefix("http://localhost")
    for _ in range(20):
        assert Browser().get(back).status_code == 403
    assert store.dbsize() == 0


def test_one_browser_keeps_a_few_and_its_cookie_stays_small(person: Person) -> None:
    first = person.callback()
    for _ in range(20):
        last = person.callback(target="/" + "x" * 1900)
        assert len(person.site.cookies[COOKIE].value) <= MAX_CHARACTERS
    assert MAX_CHARACTERS + len("__Host-sign_in=") < 4096
    assert person.come_back(first).status_code == 403
    assert person.come_back(last).status_code == 302
    assert person.signed_in_as == SUPPORT


def test_two_tabs_of_one_browser_can_both_be_under_way(person: Person) -> None:
    first, second = person.callback(), person.callback()
    assert_signed_in(person.come_back(first), person)
    assert person.come_back(second)["Location"] == "/"
    assert live.count() == 1


# Once ---------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["", "nonce-wrong", "key-unknown"])
def test_replay_with_the_cookie_of_then_is_refused_and_asks_nobody(
    person: Person, idp: Provider, caplog: Log, fault: str
) -> None:
    """Whatever came of the first time."""
    back = person.callback()
    thief = Browser()
    thief.cookies[COOKIE] = person.site.cookies[COOKIE].value
    if fault:
        idp.faults.add(fault, once=True)
    person.come_back(back)
    assert (person.signed_in_as is None) == bool(fault)
    asked, before = exchanged(idp), live.count()
    answer = thief.get(back.removeprefix("http://localhost"))
    assert answer.status_code == 403
    assert "session_id" not in thief.cookies
    assert exchanged(idp) == asked == 1
    assert live.count() == before
    assert "code=state_mismatch" in refusals(caplog)[-1]


def test_state_is_used_up_by_one_of_many_at_once(store: redis.Redis) -> None:
    with ThreadPoolExecutor(8) as pool:
        first = list(pool.map(use_state, ["same"] * 8))
    assert sum(first) == 1


def test_used_states_are_forgotten_when_they_are_too_old_anyway(
    store: redis.Redis, travel: Travel
) -> None:
    assert use_state("old")
    travel.shift(USED_SECONDS - 1)
    assert use_state("new")
    assert not use_state("old")
    travel.shift(2)
    assert use_state("newer")
    assert store.zcard(keys.USED_STATES) == 2


def test_used_states_are_the_newest_of_so_many(
    store: redis.Redis, monkeypatch: pytest.MonkeyPatch, travel: Travel
) -> None:
    monkeypatch.setattr(pending, "MAX_USED_STATES", 50)
    for number in range(200):
        assert use_state(f"state-{number}")
        travel.shift(0.01)
    assert store.zcard(keys.USED_STATES) == 50
    assert not use_state("state-199")


def test_used_states_take_two_megabytes_at_most(store: redis.Redis) -> None:
    many = {keys.state(str(n)): n for n in range(pending.MAX_USED_STATES)}
    store.zadd(keys.USED_STATES, many)
    assert store.memory_usage(keys.USED_STATES, samples=0) <= 2.5 * 1024 * 1024


def test_one_of_many_that_finish_at_once_goes_on(store: redis.Redis) -> None:
    with ThreadPoolExecutor(8) as pool:
        each = [PendingSignIns("0" * 32, {}) for _ in range(8)]
        first = list(pool.map(PendingSignIns.finish, each))
    assert sum(first) == 1


def test_second_of_two_that_finish_at_once_makes_no_session(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was still under way when it came back, and is not when it is done."""
    back = person.callback()
    monkeypatch.setattr(PendingSignIns, "finish", lambda self: False)
    assert person.come_back(back)["Location"] == "/"
    assert person.signed_in_as is None
    assert live.count() == 0
    monkeypatch.undo()
    assert_signed_in(person.sign_in(), person)


def test_second_tab_with_the_cookie_of_then_makes_no_second_session(
    person: Person,
) -> None:
    first, second = person.callback(), person.callback()
    cookie = person.site.cookies[COOKIE].value
    person.come_back(first)
    tab = Browser()
    tab.cookies[COOKIE] = cookie
    answer = tab.get(second.removeprefix("http://localhost"))
    assert (answer.status_code, answer["Location"]) == (302, "/")
    assert not tab.cookies[COOKIE].value
    assert live.count() == 1


def test_store_that_is_away_leaves_the_sign_in_to_be_finished_later(
    person: Person, settings: Settings
) -> None:
    """P3: an outage is an outage."""
    back = person.callback()
    caches = settings.CACHES
    use_store(settings, "redis://127.0.0.1:1/0")
    assert person.come_back(back).status_code == 503
    settings.CACHES = caches
    assert_signed_in(person.come_back(back), person)


# Whose --------------------------------------------------------------------------------


def without_cookie(value: str) -> str:
    return ""


def spoiled(value: str) -> str:
    return value[:-9] + ("A" if value[-9] != "A" else "B") + value[-8:]


def under_another_name(value: str) -> str:
    return "0" * 32 + value[32:]


def nonsense(value: str) -> str:
    return "x"


def endless(value: str) -> str:
    return value[:33] + "A" * 6000


def no_ascii(value: str) -> str:
    return value[:40] + "é" + value[41:]


@pytest.mark.parametrize(
    "change",
    [without_cookie, spoiled, under_another_name, nonsense, endless, no_ascii],
)
def test_cookie_that_is_not_ours_is_no_sign_in(
    person: Person, caplog: Log, change: object
) -> None:
    assert callable(change)
    back = person.callback()
    person.site.cookies[COOKIE] = change(person.site.cookies[COOKIE].value)
    answer = person.come_back(back)
    assert_refused(answer, person, caplog, kind="expired", status=403)
    person.site.cookies.clear()
    assert_signed_in(person.sign_in(), person)


def test_cookie_beside_another_of_its_name_is_not_chosen(person: Person) -> None:
    """A sibling host can plant one, to have the person signed in as somebody else."""
    back = person.callback().removeprefix("http://localhost")
    value = person.site.cookies[COOKIE].value
    twice = f"{COOKIE}={value}; {COOKIE}={value}"
    answer: HttpResponse = Browser().get(back, HTTP_COOKIE=twice)
    assert answer.status_code == 403


def test_response_in_another_browser_is_refused(
    person: Person, another: Person
) -> None:
    another.begin()
    assert another.come_back(person.callback()).status_code == 403
    assert another.signed_in_as is None


def test_cookie_of_a_live_session_is_no_sign_in(person: Person) -> None:
    """What one browser keeps for itself is sealed for nothing else."""
    person.sign_in()
    value = person.session_key
    other = Browser()
    other.cookies[COOKIE] = value
    assert other.get(COMPLETE, {"state": "x", "code": "y"}).status_code == 403


@pytest.mark.parametrize("seconds", [540, 602])
def test_sign_in_may_take_ten_minutes(
    person: Person, idp: Provider, travel: Travel, seconds: int
) -> None:
    address = person.begin()["Location"]
    travel.shift(seconds)
    back = person.authorize(address)
    assert person.come_back(back).status_code == (302 if seconds < 600 else 403)


def test_sign_in_after_an_old_cookie_is_another_one(
    person: Person, travel: Travel
) -> None:
    person.begin()
    old = person.site.cookies[COOKIE].value
    travel.shift(601)
    person.begin()
    assert person.site.cookies[COOKIE].value[:32] != old[:32]


def test_cookie_goes_by_the_secret_of_then_as_well(
    person: Person, settings: Settings
) -> None:
    back = person.callback()
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "x" * 50
    assert_signed_in(person.come_back(back), person)


def test_sign_in_at_another_provider_does_not_disturb_the_first(
    person: Person, idp: Provider, settings: Settings
) -> None:
    first = person.callback()
    set_up(settings, name="partner")
    person.site.post("/sso/login/partner/")
    set_up(settings, name="oidc")
    assert_signed_in(person.come_back(first), person)


def test_key_that_the_browser_invented_is_never_taken_over(
    person: Person, store: redis.Redis
) -> None:
    """SES-03."""
    invented = "1" * 32
    person.site.cookies["session_id"] = invented
    person.sign_in()
    assert person.signed_in_as == person.sub
    assert person.session_key != invented
    assert not store.exists(keys.value(keys.session_id(invented)))
