"""A fresh sign-in for what is dangerous: asked for, verified, under a new key."""

from __future__ import annotations

import time
from urllib.parse import parse_qsl, urlsplit

import pytest
from django.contrib.sessions.backends.base import UpdateError
from django.http import HttpResponse
from django.test import RequestFactory
from pytest_django.fixtures import Settings

from accounts.models import AuditEntry, User
from accounts.sessions import live
from accounts.sessions.store import SessionStore
from accounts.sso import discovery, step_up
from backoffice.demo.provider import Provider
from tests.accounts.sso.forger import Forger
from tests.accounts.sso.person import ADMIN, CONTRACTOR, FINANCE, SUPPORT, Person
from tests.conftest import Travel

BEGIN = "/sso/step-up/"
TARGET = "/sessions/?chosen=a&reason=x"


def begin(person: Person, target: str = TARGET) -> HttpResponse:
    answer: HttpResponse = person.site.post(BEGIN, {"next": target})
    return answer


def asked(person: Person, target: str = TARGET) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(begin(person, target)["Location"]).query))


def step_up_as(person: Person, sub: str = "", target: str = TARGET) -> HttpResponse:
    return person.come_back(person.authorize(begin(person, target)["Location"], sub))


def is_fresh(person: Person) -> bool:
    request = RequestFactory().get("/")
    request.session = person.session
    return step_up.is_fresh(request)


def events(*names: str) -> list[str]:
    found = AuditEntry.objects.filter(event__in=names).order_by("pk")
    return list(found.values_list("event", flat=True))


@pytest.fixture
def signed_in(person: Person, travel: Travel) -> Person:
    """Signed in an hour ago at the provider and ten minutes ago here."""
    person.authorize(person.begin()["Location"])
    travel.shift(3000)
    person.sign_in()
    travel.shift(600)
    return person


# Freshness ----------------------------------------------------------------------------


def test_sign_in_is_fresh_for_as_long_as_set(
    person: Person, travel: Travel, settings: Settings
) -> None:
    person.sign_in()
    assert is_fresh(person)
    travel.shift(settings.STEP_UP_SECONDS + 1)
    assert not is_fresh(person)


def test_sign_in_without_anybody_being_asked_is_not_fresh(
    person: Person, travel: Travel
) -> None:
    """The provider knew the browser and let it through."""
    person.authorize(person.begin()["Location"])
    travel.shift(3600)
    person.sign_in()
    assert not is_fresh(person)


@pytest.mark.parametrize("fault", ["auth-time-missing", "auth-time-zero"])
def test_silence_of_the_provider_is_not_fresh(
    person: Person, idp: Provider, fault: str
) -> None:
    idp.faults.add(fault, once=True)
    person.sign_in()
    assert not is_fresh(person)


def test_sign_in_of_tomorrow_is_not_fresh(person: Person, forger: Forger) -> None:
    forger.changes = {"auth_time": int(time.time()) + 3600}
    person.sign_in()
    assert not is_fresh(person)


def test_nobody_is_not_fresh() -> None:
    request = RequestFactory().get("/")
    request.session = SessionStore()
    assert not step_up.is_fresh(request)


def test_zero_seconds_ask_nobody(signed_in: Person, settings: Settings) -> None:
    assert not is_fresh(signed_in)
    settings.STEP_UP_SECONDS = 0
    assert is_fresh(signed_in)


# The question -------------------------------------------------------------------------


def test_page_asks_with_a_form_and_keeps_where_to_go(signed_in: Person) -> None:
    request = RequestFactory().get("/")
    request.session = signed_in.session
    request.user = User.objects.get(sub=SUPPORT)
    page = step_up.demand(request, "/x/?a=1&b=<2>")
    assert page.status_code == 403
    assert "no-store" in page["Cache-Control"]
    text = page.content.decode()
    assert f'action="{BEGIN}"' in text
    assert 'name="next" value="/x/?a=1&amp;b=&lt;2&gt;"' in text
    assert "csrfmiddlewaretoken" in text


def test_request_asks_for_a_fresh_sign_in_of_the_same_person(signed_in: Person) -> None:
    question = asked(signed_in)
    assert question["prompt"] == "login"
    assert question["login_hint"] == signed_in.session["profile"]["username"]


def test_max_age_obliges_to_say_auth_time_and_lets_a_fresh_sign_in_through(
    signed_in: Person, settings: Settings
) -> None:
    """With 0 some providers ask for the password for ever; without it none is due."""
    max_age = int(asked(signed_in)["max_age"])
    assert 1 <= max_age <= settings.OIDC_LEEWAY_SECONDS // 2


def test_provider_that_looks_at_max_age_again_after_the_sign_in_is_content(
    signed_in: Person, idp: Provider, travel: Travel
) -> None:
    back = signed_in.authorize(begin(signed_in)["Location"])
    travel.shift(5)
    address = begin(signed_in)["Location"].replace("prompt=login&", "")
    assert signed_in.http.get(address, allow_redirects=False).status_code != 200
    assert signed_in.come_back(back)["Location"] == TARGET


def test_ordinary_sign_in_beside_it_is_asked_as_always(signed_in: Person) -> None:
    begin(signed_in)
    assert not {"prompt", "max_age", "login_hint"} & set(signed_in.asked())


def test_beginning_needs_post_a_token_and_a_session(
    signed_in: Person, another: Person
) -> None:
    page = signed_in.site.get(BEGIN, {"next": "//evil"})
    assert (page.status_code, page.context["back_to"]) == (200, "/")
    assert begin(another)["Location"].startswith("/sign-in/")
    signed_in.site.handler.enforce_csrf_checks = True
    assert begin(signed_in).status_code == 403


@pytest.mark.parametrize("target", ["//evil", "https://evil/", "/\\evil", "x", ""])
def test_way_back_is_one_of_our_own_paths(signed_in: Person, target: str) -> None:
    assert step_up_as(signed_in, target=target)["Location"] == "/"


# The answer ---------------------------------------------------------------------------


def test_confirmed_session_is_fresh_under_a_new_key_with_its_old_limits(
    signed_in: Person,
) -> None:
    key, before = signed_in.session_key, signed_in.session.record
    answer = step_up_as(signed_in)
    assert (answer.status_code, answer["Location"]) == (302, TARGET)
    assert is_fresh(signed_in)
    after = signed_in.session.record
    assert before
    assert after
    assert signed_in.session_key != key
    assert SessionStore(key).record is None
    assert (after.began, after.ends) == (before.began, before.ends)
    assert live.count() == 1
    assert signed_in.site.get("/sessions/").status_code == 200


def test_provider_whose_clock_is_behind_does_not_send_people_round_in_circles(
    signed_in: Person, idp: Provider, settings: Settings
) -> None:
    settings.STEP_UP_SECONDS = 30
    idp.faults.add("clock-offset", seconds=-50)
    step_up_as(signed_in)
    assert is_fresh(signed_in)


def test_confirmation_is_recorded_with_both_references(signed_in: Person) -> None:
    before = signed_in.session.session_id
    step_up_as(signed_in)
    entry = AuditEntry.objects.get(event="session:stepped-up")
    assert entry.session_id == signed_in.session.session_id
    assert entry.details == {"before": before}
    assert events("session:signed-in", "session:replaced") == ["session:signed-in"]


def test_confirmed_session_ends_with_the_providers_new_session(
    signed_in: Person, idp: Provider
) -> None:
    """The provider's own session was over; the sign-in began another one there."""
    old = signed_in.session["sign_in"]["sid"]
    idp.state.end_session(old)
    step_up_as(signed_in)
    new = signed_in.session["sign_in"]["sid"]
    assert new != old
    issuer = signed_in.session["profile"]["issuer"]
    assert not live.end_origin(issuer, old, by="provider").ended
    assert live.end_origin(issuer, new, by="provider").ended
    assert signed_in.signed_in_as is None


@pytest.mark.parametrize(
    "fault",
    [
        "reauthentication-ignored",
        "auth-time-missing",
        "auth-time-zero",
        "auth-time-old",
        "nonce-wrong",
    ],
)
def test_provider_that_did_not_ask_again_is_refused(
    signed_in: Person, idp: Provider, fault: str
) -> None:
    idp.faults.add(fault)
    key = signed_in.session_key
    answer = step_up_as(signed_in)
    assert answer.status_code in {403, 502}
    assert f'action="{BEGIN}"' in answer.content.decode()
    assert signed_in.session_key == key
    assert signed_in.signed_in_as == SUPPORT
    assert not is_fresh(signed_in)
    assert events("session:step-up-refused", "session:stepped-up") == [
        "session:step-up-refused"
    ]


def test_cancelled_leaves_the_session_and_says_so(signed_in: Person) -> None:
    state = asked(signed_in)["state"]
    back = {"error": "access_denied", "state": state, "iss": signed_in.provider.issuer}
    answer = signed_in.come_back("", **back)
    text = answer.content.decode()
    assert answer.status_code == 403
    assert "The confirmation was cancelled" in text
    assert "/sessions/?chosen=a&amp;reason=x" in text
    assert signed_in.signed_in_as == SUPPORT
    assert not is_fresh(signed_in)
    assert step_up_as(signed_in)["Location"] == TARGET


def test_provider_that_is_gone_leaves_the_session(
    signed_in: Person, idp: Provider
) -> None:
    discovery.forget()
    idp.stop()
    try:
        answer = begin(signed_in)
    finally:
        idp.start()
    assert answer.status_code == 502
    assert "is not answering" in answer.content.decode()
    assert signed_in.signed_in_as == SUPPORT


def test_answer_of_another_person_ends_the_first_session(signed_in: Person) -> None:
    key = signed_in.session_key
    answer = step_up_as(signed_in, FINANCE)
    assert answer["Location"] == "/"
    assert signed_in.signed_in_as == FINANCE
    assert SessionStore(key).record is None
    assert events("session:stepped-up", "session:replaced") == ["session:replaced"]


def test_answer_of_somebody_who_is_not_staff_changes_nothing(signed_in: Person) -> None:
    answer = step_up_as(signed_in, CONTRACTOR)
    assert answer.status_code == 403
    assert "may not use Backoffice" in answer.content.decode()
    assert signed_in.signed_in_as == SUPPORT
    assert not is_fresh(signed_in)


def test_answer_in_another_browser_is_refused(
    signed_in: Person, another: Person
) -> None:
    back = signed_in.authorize(begin(signed_in)["Location"])
    assert another.come_back(back).status_code == 403
    assert another.signed_in_as is None
    assert not is_fresh(signed_in)


def test_answer_in_another_browser_that_is_signed_in_is_refused(
    signed_in: Person, another: Person
) -> None:
    another.sign_in(ADMIN)
    key = another.session_key
    back = signed_in.authorize(begin(signed_in)["Location"])
    assert another.come_back(back)["Location"] == "/"
    assert (another.session_key, another.signed_in_as) == (key, ADMIN)


def test_answer_works_once(signed_in: Person) -> None:
    back = signed_in.authorize(begin(signed_in)["Location"])
    signed_in.come_back(back)
    key = signed_in.session_key
    assert signed_in.come_back(back)["Location"] == "/"
    assert signed_in.session_key == key


def test_session_that_was_killed_meanwhile_stays_dead(signed_in: Person) -> None:
    back = signed_in.authorize(begin(signed_in)["Location"])
    live.end([str(signed_in.session.session_id)], by="desk")
    assert signed_in.come_back(back).status_code == 403
    assert signed_in.signed_in_as is None
    assert live.count() == 0


def test_person_who_was_killed_meanwhile_stays_dead(
    signed_in: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the last moment: the session was read, and is being moved."""
    back = signed_in.authorize(begin(signed_in)["Location"])
    move = SessionStore.renew

    def killed_first(store: SessionStore, *args: object) -> None:
        live.end_person(User.objects.get(sub=SUPPORT), by="desk")
        move(store, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(SessionStore, "renew", killed_first)
    assert signed_in.come_back(back)["Location"] == "/"
    assert signed_in.signed_in_as is None
    assert live.count() == 0


def test_old_key_is_dead_for_a_request_that_is_under_way(signed_in: Person) -> None:
    """It saves after the step-up, with what it read before."""
    late = signed_in.session
    late["draft"] = "x"
    step_up_as(signed_in)
    with pytest.raises(UpdateError):
        late.save()
    assert live.count() == 1


def test_two_step_ups_at_once_each_lead_where_they_should(signed_in: Person) -> None:
    first = signed_in.authorize(begin(signed_in, "/sessions/?a")["Location"])
    second = signed_in.authorize(begin(signed_in, "/sessions/?b")["Location"])
    assert signed_in.come_back(second)["Location"] == "/sessions/?b"
    assert signed_in.come_back(first)["Location"] == "/sessions/?a"
    assert live.count() == 1


# Without end --------------------------------------------------------------------------


def loop_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    lines = [record.getMessage() for record in caplog.records]
    return [line for line in lines if line.startswith("step_up_loop")]


def assert_loop_noticed(answer: HttpResponse, log: pytest.LogCaptureFixture) -> None:
    assert answer.status_code == 403
    text = answer.content.decode()
    assert "was asked 3 times" in text
    assert f'action="{BEGIN}"' in text
    assert loop_lines(log) == ["step_up_loop provider=oidc attempts=3"]


def test_provider_that_never_sends_people_back_is_noticed(
    signed_in: Person, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        assert begin(signed_in).status_code == 302
    assert loop_lines(caplog) == []
    answer = begin(signed_in)
    assert_loop_noticed(answer, caplog)
    assert "/sessions/?chosen=a&amp;reason=x" in answer.content.decode()
    assert signed_in.signed_in_as == SUPPORT


@pytest.mark.parametrize("fault", ["auth-time-missing", "auth-time-old"])
def test_provider_that_never_gives_a_fresh_auth_time_is_noticed(
    signed_in: Person, idp: Provider, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    idp.faults.add(fault)
    for _ in range(3):
        assert step_up_as(signed_in).status_code == 502
    assert_loop_noticed(begin(signed_in), caplog)


def test_confirmation_that_is_too_old_on_arrival_is_noticed(
    signed_in: Person,
    settings: Settings,
    travel: Travel,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The page is shown again each time, although the provider did what was asked."""
    settings.STEP_UP_SECONDS = 10
    for _ in range(3):
        back = signed_in.authorize(begin(signed_in)["Location"])
        travel.shift(20)
        assert signed_in.come_back(back)["Location"] == TARGET
        assert not is_fresh(signed_in)
    assert_loop_noticed(begin(signed_in), caplog)


def test_loop_that_was_told_of_may_be_tried_again(
    signed_in: Person, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(4):
        begin(signed_in)
    assert step_up_as(signed_in)["Location"] == TARGET
    assert is_fresh(signed_in)
    assert len(loop_lines(caplog)) == 1


def test_confirmed_step_ups_are_no_loop(
    signed_in: Person, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(5):
        assert step_up_as(signed_in)["Location"] == TARGET
    assert loop_lines(caplog) == []


def test_attempts_of_long_ago_are_no_loop(
    signed_in: Person, travel: Travel, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        begin(signed_in)
        travel.shift(400)
    assert begin(signed_in).status_code == 302
    assert loop_lines(caplog) == []
