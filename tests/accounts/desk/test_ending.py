from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis
from django.contrib.auth.models import Permission
from django.contrib.sessions.backends.base import UpdateError
from django.test import Client, RequestFactory
from django.utils import timezone
from pytest_django.fixtures import Settings

from accounts import keys
from accounts.desk import ending, job, shown, target
from accounts.desk.job import Job
from accounts.models import AuditEntry, Revocation, User
from accounts.sessions import frozen, live
from accounts.sessions.index import Order
from accounts.sessions.selection import Selection
from accounts.sessions.store import SessionStore
from tests.accounts.desk.conftest import END, LIST, opened
from tests.accounts.sessions.conftest import (
    ISSUER,
    PROFILE,
    again,
    is_live,
    sign_in,
)
from tests.conftest import Travel

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

LEGAL = {"scope": "matching", "department": "Legal"}


def answered(
    desk: Client,
    query: dict[str, Any],
    meanwhile: Callable[[], Any] | None = None,
    **changes: Any,
) -> Any:
    """Fills in the page that asks as a person would, and sends it."""
    asked = desk.get(END, query).content.decode()
    hidden = dict(
        re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', asked)
    )
    given = {**hidden, **query, "reason": "theft", "confirmed": "yes"}
    if number := re.search(r"Type (\d+) to confirm", asked):
        given["typed"] = number[1]
    if meanwhile:
        meanwhile()
    return desk.post(END, {**given, **changes})


def crowd(number: int) -> list[Any]:
    return [opened(f"u-{n}", department="Legal") for n in range(number)]


def test_asking_tells_the_number_and_ends_nothing(desk: Client) -> None:
    victims, other = crowd(3), opened("u-x", department="Sales")
    page = desk.get(END, LEGAL).content.decode()
    assert "This ends 3 sessions" in page
    assert str(other.session_id) not in page
    assert all(map(is_live, victims))


def test_all_that_match_end_and_nothing_else(desk: Client) -> None:
    victims, other = crowd(3), opened("u-x", department="Sales")
    answer = answered(desk, LEGAL)
    assert answer["Location"] == f"{LIST}?department=Legal"
    assert "3 sessions ended." in desk.get(LIST).content.decode()
    assert [is_live(each) for each in (*victims, other)] == [False] * 3 + [True]
    killed = AuditEntry.objects.filter(event="session:killed", reason="theft")
    assert {each.session_id for each in killed} == {v.session_id for v in victims}
    bulk = AuditEntry.objects.get(event="sessions:killed-in-bulk")
    assert bulk.details == {"filter": "scope=matching&department=Legal", "shown": 3}


def test_all_of_a_person_end(desk: Client) -> None:
    mine, other = [opened("u-7"), opened("u-7")], opened("u-8")
    query = {"scope": "matching", "sub": "u-7", "issuer": "https://idp.example"}
    answered(desk, query)
    assert [is_live(each) for each in (*mine, other)] == [False, False, True]


def test_who_signs_in_after_the_page_was_shown_is_spared(desk: Client) -> None:
    victim, late = opened(department="Legal"), []

    def somebody_signs_in() -> None:
        late.append(opened("u-late", department="Legal"))

    answered(desk, LEGAL, somebody_signs_in)
    assert [is_live(victim), is_live(late[0])] == [False, True]
    assert "1 more session matches now" in desk.get(LIST).content.decode()


def test_session_that_moves_into_the_filter_after_the_page_is_spared(
    desk: Client,
) -> None:
    victim, mover = opened("u-1", department="Legal"), opened("u-2", department="Sales")

    def change_department() -> None:
        moved = again(mover)
        moved["profile"] = {**moved["profile"], "department": "Legal"}
        moved.save()
        assert live.select(Selection(department="Legal")).total == 2

    answered(desk, LEGAL, change_department)
    assert [is_live(victim), is_live(mover)] == [False, True]
    page = desk.get(LIST).content.decode()
    assert "1 session ended." in page
    assert "1 more session matches now" in page


def test_session_that_leaves_the_filter_after_the_page_ends(desk: Client) -> None:
    victim = opened("u-1", department="Legal")

    def change_department() -> None:
        moved = again(victim)
        moved["profile"] = {**moved["profile"], "department": "Sales"}
        moved.save()

    answered(desk, LEGAL, change_department)
    assert not is_live(victim)


def test_what_ended_after_the_page_was_shown_is_told_as_gone(desk: Client) -> None:
    victims = crowd(3)
    answered(desk, LEGAL, victims[0].flush)
    page = desk.get(LIST).content.decode()
    assert "2 sessions ended." in page
    assert "1 session was already gone." in page
    assert "more session" not in page


def test_filter_that_names_a_session_among_others_shows_none_that_differs(
    desk: Client,
) -> None:
    other = opened("u-1", department="Sales")
    query = {**LEGAL, "session": str(other.session_id)}
    assert "This ends 0 sessions" in desk.get(END, query).content.decode()


@pytest.mark.parametrize("reason", ["", "  "])
def test_answer_without_a_reason_ends_nothing(desk: Client, reason: str) -> None:
    (victim,) = crowd(1)
    answer = answered(desk, LEGAL, reason=reason)
    assert answer.status_code == 422
    assert "This field is required" in answer.content.decode()
    assert is_live(victim)


def test_answer_to_a_page_of_long_ago_ends_nothing(
    desk: Client, travel: Travel
) -> None:
    (victim,) = crowd(1)
    long_ago = shown.VALID_SECONDS + 1

    def wait() -> None:
        # Both people have gone on working meanwhile.
        for _ in range(3):
            travel.shift(long_ago / 3)
            assert is_live(victim)
            assert desk.get(LIST).status_code == 200

    answer = answered(desk, LEGAL, wait)
    assert answer.status_code == 422
    assert "open for too long" in answer.content.decode()
    assert is_live(victim)


def test_answer_to_the_page_of_somebody_else_ends_nothing(
    desk: Client, admin: User
) -> None:
    (victim,) = crowd(1)
    second = Client()
    sign_in(second, admin)
    page = second.get(END, LEGAL).content.decode()
    (token,) = re.findall(r'name="shown" value="(\w+)"', page)
    answer = desk.post(
        END, {**LEGAL, "shown": token, "reason": "x", "confirmed": "yes"}
    )
    assert answer.status_code == 422
    assert is_live(victim)


def test_number_shown_for_one_filter_is_none_for_another(desk: Client) -> None:
    victims = crowd(2)
    answer = answered(desk, {"scope": "matching", "department": "Sales"}, **LEGAL)
    assert answer.status_code == 422
    assert all(map(is_live, victims))


@pytest.mark.parametrize("query", [LEGAL, {"scope": "everyone"}])
def test_refused_form_names_one_number_and_keeps_it(
    desk: Client, monkeypatch: pytest.MonkeyPatch, query: dict[str, str]
) -> None:
    monkeypatch.setattr(target, "ALONE_AT_MOST", 1)
    crowd(3)
    first = desk.get(END, query).content.decode()
    answer = answered(desk, query, lambda: opened("u-x", department="Legal"), typed="1")
    second = answer.content.decode()
    told = [
        re.findall(r"(\d+) (?:sessions|when)|Type (\d+)", p) for p in (first, second)
    ]
    number = "3" if query is LEGAL else "4"
    assert {n for each in told[1] for n in each if n} == {number}
    if query is LEGAL:
        assert told[0] == told[1]


def test_lists_of_what_was_shown_are_few_and_go_by_themselves(
    desk: Client, store: redis.Redis
) -> None:
    crowd(2)
    for _ in range(shown.KEPT_AT_MOST + 2):
        desk.get(END, LEGAL)
    lists = store.keys(keys.frozen("*"))
    assert len(lists) == shown.KEPT_AT_MOST
    assert all(0 < store.ttl(each) <= shown.VALID_SECONDS for each in lists)


def test_list_that_the_store_lost_ends_nothing_and_says_so(
    desk: Client, store: redis.Redis
) -> None:
    victims = crowd(2)
    answered(desk, LEGAL, lambda: store.delete(*store.keys(keys.frozen("*"))))
    assert all(map(is_live, victims))
    assert "has lost the list" in desk.get(LIST).content.decode()


# All of a person ----------------------------------------------------------------------

KIM = {"scope": "matching", "sub": "u-7", "issuer": ISSUER}


def test_sign_in_under_way_does_not_survive_the_end_of_its_person(
    desk: Client,
) -> None:
    opened("u-7")
    coming = SessionStore()
    coming.begin(
        {"profile": {**PROFILE, "sub": "u-7"}, "sign_in": {"provider": "oidc"}},
        person=keys.person(ISSUER, "u-7"),
        origin=None,
        since=time.time() - 1,
    )
    page = desk.get(END, KIM).content.decode()
    assert "a sign-in of this person that is under way" in page
    answered(desk, KIM)
    with pytest.raises(UpdateError):
        coming.save()
    kinds = Revocation.objects.values_list("kind", flat=True)
    assert list(kinds) == [Revocation.Kind.PERSON]


@pytest.mark.parametrize(
    "query",
    [
        {"scope": "person", "sub": "u-7", "issuer": ISSUER},
        {"scope": "matching", "sub": "u-7"},
        {"scope": "matching", "q": "u-7@example.com"},
    ],
)
def test_filter_that_means_one_person_ends_the_person(
    desk: Client, query: dict[str, str]
) -> None:
    mine, other = opened("u-7"), opened("u-8")
    answered(desk, query)
    assert [is_live(mine), is_live(other)] == [False, True]
    assert Revocation.objects.get().kind == Revocation.Kind.PERSON
    bulk = AuditEntry.objects.get(event="sessions:killed-in-bulk")
    assert (bulk.subject, bulk.reason) == ("u-7", "theft")


@pytest.mark.parametrize("extra", [{"department": "Legal"}, {"sub": ""}])
def test_person_and_another_filter_is_no_person(
    desk: Client, extra: dict[str, str]
) -> None:
    victim = opened("u-7")
    query = {"scope": "person", "sub": "u-7", "issuer": ISSUER, **extra}
    assert desk.get(END, query)["Location"] == LIST
    assert is_live(victim)


def test_own_person_needs_the_tick(desk: Client, admin: User) -> None:
    own = {"scope": "person", "sub": admin.sub, "issuer": admin.issuer}
    answer = answered(desk, own)
    assert "your own session" in answer.content.decode()
    assert live.count() == 1
    answered(desk, own, own="on")
    assert live.count() == 0


# Many ---------------------------------------------------------------------------------


@pytest.mark.parametrize("typed", ["", "2", "yes"])
def test_many_need_their_number_typed(
    desk: Client, monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    monkeypatch.setattr(target, "ALONE_AT_MOST", 2)
    victims = crowd(3)
    answer = answered(desk, LEGAL, typed=typed)
    assert "Type the number of sessions" in answer.content.decode()
    assert all(map(is_live, victims))
    answered(desk, LEGAL, typed="3")
    assert not any(map(is_live, victims))


def test_many_need_a_permission_of_their_own(
    desk: Client, admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(target, "ALONE_AT_MOST", 2)
    victims = crowd(3)
    admin.groups.clear()
    sign_in(desk, admin)
    names = ["view_livesession", "end_livesession"]
    admin.user_permissions.set(Permission.objects.filter(codename__in=names))
    page = desk.get(LIST, {"department": "Legal"}).content.decode()
    assert "that match…" not in page
    assert "End everyone" not in page
    assert desk.get(END, LEGAL).status_code == 403
    assert desk.get(END, {"scope": "everyone"}).status_code == 403
    assert answered_blindly(desk, LEGAL) == 403
    assert answered_blindly(desk, {"scope": "everyone"}) == 403
    assert all(map(is_live, victims))


def answered_blindly(desk: Client, query: dict[str, str]) -> int:
    """Sends an answer without having been asked."""
    given = {"shown": "3", "typed": "3", "own": "on"}
    given |= {"reason": "x", "confirmed": "yes"}
    return desk.post(END, {**query, **given}).status_code


def test_understating_the_number_does_not_make_it_few(
    desk: Client, admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(target, "ALONE_AT_MOST", 2)
    victims = crowd(3)
    answer = answered(desk, LEGAL, shown="1", typed="")
    assert answer.status_code == 422
    assert all(map(is_live, victims))


def test_many_need_a_fresh_sign_in(
    desk: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(target, "ALONE_AT_MOST", 2)
    settings.STEP_UP_SECONDS = 300
    victims = crowd(3)
    asked = desk.get(END, LEGAL)
    assert asked.status_code == 403
    assert "scope=matching&amp;department=Legal" in asked.content.decode()
    assert answered_blindly(desk, LEGAL) == 403
    assert all(map(is_live, victims))


def test_own_session_is_left_alone_without_a_tick(client: Client, desk: Client) -> None:
    own = live.page()[0].id
    victims = crowd(2)
    everybody = {"scope": "matching", "provider": "oidc"}
    page = desk.get(END, everybody).content.decode()
    assert "End my own session as well" in page
    answered(desk, everybody)
    assert not any(map(is_live, victims))
    assert [each.id for each in live.page()] == [own]


def test_own_session_ends_with_a_tick(desk: Client) -> None:
    answer = answered(desk, {"scope": "matching", "provider": "oidc"}, own="on")
    assert live.count() == 0
    page = desk.get(answer["Location"], follow=True).content.decode()
    assert "A security admin ended your session." in page


def test_own_session_among_the_chosen_is_left_alone_too(desk: Client) -> None:
    own = live.page()[0].id
    answered(desk, {"session": [own]})
    assert [each.id for each in live.page()] == [own]
    assert "nothing left to end" in desk.get(LIST).content.decode()


def test_everyone_needs_the_tick_for_oneself(desk: Client) -> None:
    victims = crowd(2)
    answer = answered(desk, {"scope": "everyone"})
    assert "your own session" in answer.content.decode()
    assert all(map(is_live, victims))


def test_everyone_ends_by_one_mark_and_is_cleared_up(
    desk: Client, store: redis.Redis
) -> None:
    victims = crowd(3)
    answered(desk, {"scope": "everyone"}, own="on")
    assert not any(map(is_live, victims))
    for thread in threading.enumerate():
        if thread.name == "clear-up":
            thread.join(60)
    assert not store.exists(*Order)
    assert not store.keys(keys.ANY_VALUE)
    assert AuditEntry.objects.get(event="everyone:cut-off").reason == "theft"


@pytest.mark.parametrize(
    "query",
    [
        {"scope": "matching"},
        {"scope": "matching", "unknown": "x"},
        {"scope": "matching", "network": "nonsense"},
        {"scope": "matching", "issuer": ISSUER},
        {"scope": "matching", "netwrok": "10.0.0.0/8", "provider": "oidc"},
        {"scope": "matching", "ip": "10.0.0.1"},
        {"scope": "everyone", "department": "Legal"},
        {"scope": "everyone", "netwrok": "10.0.0.0/8"},
        {"scope": "person", "user": "u-1"},
        {"scope": "nonsense"},
        {"session": ["a" * 24], "department": "Legal"},
        {"session": ["a" * 24], "user": "u-1"},
        {"session": ["nonsense"]},
        {},
    ],
)
def test_what_is_unclear_ends_nothing(desk: Client, query: dict[str, str]) -> None:
    victims = crowd(2)
    given = {"shown": "9", "typed": "9", "own": "on"}
    given |= {"reason": "x", "confirmed": "yes"}
    assert desk.get(END, query)["Location"] == LIST
    assert desk.post(END, {**query, **given})["Location"] == LIST
    assert all(map(is_live, victims))


def test_get_never_ends_anything(desk: Client) -> None:
    victims = crowd(2)
    given = {"reason": "x", "confirmed": "yes", "shown": "2"}
    assert desk.get(END, {**LEGAL, **given}).status_code == 200
    assert all(map(is_live, victims))


def test_two_admins_at_once_one_ended_the_other_already_gone(
    desk: Client, admin: User
) -> None:
    (victim,) = crowd(1)
    second = Client()
    sign_in(second, admin)
    chosen = {"session": [victim.session_id]}
    for browser in (desk, second):
        assert browser.get(END, chosen).status_code == 200
    given = {**chosen, "reason": "theft", "confirmed": "yes"}
    said = []
    for browser in (desk, second):
        browser.post(END, given)
        said.append(browser.get(LIST).content.decode())
    assert "1 session ended." in said[0]
    assert "1 session was already gone." in said[1]


# A long one ----------------------------------------------------------------


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step ends one batch of two."""
    monkeypatch.setattr(job, "STEP_SECONDS", -1.0)
    monkeypatch.setattr(frozen, "BATCH", 2)


@pytest.mark.usefixtures("slow")
def test_long_ending_goes_on_step_by_step(desk: Client) -> None:
    victims = crowd(5)
    where = answered(desk, LEGAL)["Location"]
    assert "/ending/" in where
    assert "Ended so far" in desk.get(where).content.decode()
    steps = 0
    while "/ending/" in where and steps < 9:
        where = desk.post(where)["Location"]
        steps += 1
    assert steps == 2
    assert not any(map(is_live, victims))
    assert "5 sessions ended." in desk.get(where).content.decode()
    assert AuditEntry.objects.filter(event="sessions:killed-in-bulk").count() == 1


@pytest.mark.usefixtures("slow")
def test_step_answers_the_script_in_json(desk: Client) -> None:
    crowd(3)
    where = answered(desk, LEGAL)["Location"]
    answer = desk.post(where, headers={"Accept": "application/json"})
    told = json.loads(answer.content)
    assert told == {"ended": 3, "done": True, "to": f"{LIST}?department=Legal"}


@pytest.mark.usefixtures("slow")
def test_progress_by_get_ends_nothing_and_strangers_see_none(
    desk: Client, admin: User
) -> None:
    victims = crowd(5)
    where = answered(desk, LEGAL)["Location"]
    left = [is_live(each) for each in victims].count(True)
    desk.get(where)
    assert [is_live(each) for each in victims].count(True) == left
    second = Client()
    sign_in(second, admin)
    assert second.post(where)["Location"] == LIST
    assert [is_live(each) for each in victims].count(True) == left


def test_permission_names_are_those_that_exist() -> None:
    names = {
        f"accounts.{each}"
        for each in Permission.objects.values_list("codename", flat=True)
    }
    assert {ending.MAY_END, ending.MAY_END_IN_BULK} <= names


def test_desk_has_no_actions_in_the_language_of_the_moment(desk: Client) -> None:
    answered(desk, {"session": [str(opened("u-7").session_id)]})
    assert "Recent actions" not in desk.get("/admin/").content.decode()


# What is meant ------------------------------------------------------------------------


def test_filter_by_an_earlier_moment_is_not_widened_to_now(desk: Client) -> None:
    """When the page was shown never replaces the moment that was asked for."""
    old = opened("u-1", department="Legal")
    time.sleep(0.002)
    between = timezone.now()
    time.sleep(0.002)
    young = opened("u-2", department="Legal")
    answered(desk, {**LEGAL, "before": between.isoformat()})
    assert [is_live(old), is_live(young)] == [False, True]


def test_two_filters_for_the_person_must_both_hold(desk: Client) -> None:
    named, other = opened("u-7"), opened("u-8")
    both = {"scope": "matching", "q": "u-8", "sub": "u-7", "issuer": ISSUER}
    assert "This ends 0 sessions" in desk.get(END, both).content.decode()
    answered(desk, both)
    assert is_live(named)
    assert is_live(other)


def test_more_than_a_page_can_be_ticked_is_refused(desk: Client) -> None:
    """By ticks no typed number is asked for, so that way must stay narrow."""
    victims = crowd(target.ALONE_AT_MOST + 1)
    chosen = {"session": [str(each.session_id) for each in victims]}
    answer = desk.post(END, {**chosen, "confirmed": "yes", "reason": "theft"})
    assert answer["Location"] == LIST
    assert all(map(is_live, victims))


@pytest.mark.parametrize("shown", ["9" * 5000, "-1", "1e9", "\u0663", ""])
def test_number_that_is_none_ends_nothing(desk: Client, shown: str) -> None:
    (victim,) = crowd(1)
    answer = answered(desk, LEGAL, shown=shown)
    assert answer.status_code == 422
    assert is_live(victim)


def test_session_keeps_few_long_endings(desk: Client) -> None:
    request = RequestFactory().get("/")
    request.session = {}  # type: ignore[assignment]
    for _ in range(job.KEPT_AT_MOST + 5):
        newest = Job.begin(
            request, "scope=matching", frozen="", besides="", reason="", total=0
        )
    assert len(request.session[job.SESSION_KEY]) == job.KEPT_AT_MOST + 1
    assert newest.id in request.session[job.SESSION_KEY]
