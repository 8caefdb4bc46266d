from __future__ import annotations

import time
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from django.utils.http import urlencode

from accounts.desk import listing
from accounts.sessions.store import SessionStore
from tests.accounts.desk.conftest import CHROME, IPHONE, LIST, opened

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]


def page(desk: Client, **query: str) -> str:
    return desk.get(f"{LIST}?{urlencode(query)}").content.decode()


def listed(desk: Client, *sessions: SessionStore, **query: str) -> list[bool]:
    text = page(desk, **query)
    return [str(session.session_id) in text for session in sessions]


@pytest.mark.parametrize(
    "query",
    [
        {"q": "seoyeon"},
        {"q": "SEOYEON@"},
        {"q": "u-7"},
        {"sub": "u-7", "issuer": "https://idp.example"},
        {"sub": "u-7"},
        {"group": "finance"},
        {"department": "Finance"},
        {"network": "10.1.2.3"},
        {"network": "10.1.0.0/16"},
        {"network": "10.1.77.1/16"},
        {"agent": "chrome"},
        {"agent": "WINDOWS chrome"},
        {"q": "seoyeon", "network": "10.1.0.0/16", "agent": "chrome", "group": "staff"},
    ],
)
def test_each_filter_finds_the_one_and_not_the_other(
    desk: Client, query: dict[str, str]
) -> None:
    one = opened(
        "u-7",
        name="이서연",
        email="seoyeon@example.com",
        department="Finance",
        groups=["staff", "finance"],
        address="10.1.2.3",
        agent=CHROME,
    )
    other = opened("u-8", address="10.2.2.3", agent=IPHONE)
    assert listed(desk, one, other, **query) == [True, False]


def test_filter_by_session_id_finds_that_one(desk: Client) -> None:
    one, other = opened("u-7"), opened("u-8")
    assert listed(desk, one, other, session=str(one.session_id)) == [True, False]


def test_filters_by_time(desk: Client) -> None:
    session = opened()
    now = timezone.localtime()
    before, after = now - timedelta(hours=1), now + timedelta(hours=1)
    early, late = f"{before:%Y-%m-%dT%H:%M}", f"{after:%Y-%m-%dT%H:%M}"
    assert listed(desk, session, after=early, before=late) == [True]
    assert listed(desk, session, after=late) == [False]
    assert listed(desk, session, before=early) == [False]
    assert listed(desk, session, idle="0m") == [True]
    assert listed(desk, session, idle="1h") == [False]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"network": "10.1.2"}, "Write an address or a network"),
        ({"idle": "long"}, "Write a number and a unit"),
        ({"after": "yesterday"}, "Write a date and a time"),
        ({"before": "2026-13-45T99:00"}, "Write a date and a time"),
        ({"session": "0" * 32}, "A session id has 24 characters"),
        ({"provider": "nobody"}, "Select a valid choice"),
    ],
)
def test_mistake_is_said_by_its_field_and_nothing_is_lost(
    desk: Client, query: dict[str, str], words: str
) -> None:
    session = opened()
    answer = desk.get(f"{LIST}?{urlencode({**query, 'department': 'Finance'})}")
    text = answer.content.decode()
    assert answer.status_code == 422
    assert words in text
    assert 'value="Finance"' in text
    assert all(f'value="{each}"' in text for each in query.values() if each != "nobody")
    assert str(session.session_id) not in text


def test_name_that_fits_too_many_asks_for_more(
    desk: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("accounts.desk.filters.PEOPLE_AT_MOST", 1)
    opened("u-7"), opened("u-8")
    assert "Write more of the name" in page(desk, q="u-")


def test_nobody_of_that_name_is_nobody_and_not_everybody(desk: Client) -> None:
    session = opened()
    assert listed(desk, session, q="no such person") == [False]
    assert listed(desk, session, sub="no-such-sub") == [False]


def test_total_is_exact_and_pages_hold_each_once(
    desk: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "PAGE_SIZE", 2)
    ids = [opened(f"u-{n}", department="Legal").session_id for n in range(5)]
    pages = [page(desk, department="Legal", o="start", p=str(n)) for n in (1, 2, 3, 99)]
    assert all("5 live sessions" in text for text in pages)
    assert [sum(str(i) in text for i in ids) for text in pages] == [2, 2, 1, 1]


@pytest.mark.parametrize("order", ["use", "start", "end"])
def test_both_directions_are_the_other_way_round(desk: Client, order: str) -> None:
    ids = []
    for n in range(3):
        ids.append(str(opened(f"u-{n}", department="Legal").session_id))
        # Of two in the same millisecond neither is the first.
        time.sleep(0.002)
    texts = [page(desk, department="Legal", o=order, dir=d) for d in ("asc", "desc")]
    up, down = (sorted(ids, key=text.index) for text in texts)
    assert up == ids
    assert down == ids[::-1]


@pytest.mark.parametrize(
    "query", ["?p=0", "?p=99", "?p=x", "?p=-1", "?o=nonsense", "?dir=up", "?_popup=1"]
)
def test_odd_addresses_still_show_the_list(desk: Client, query: str) -> None:
    assert desk.get(LIST + query).status_code == 200


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("?ip=10.0.0.1", "ip"),
        ("?user=kim", "user"),
        ("?netwrok=10.0.0.0/8&department=Legal", "netwrok"),
        ("?department=Legal&user=kim&ip=10.0.0.1", "ip, user"),
        ("?issuer=https://idp.example", "issuer"),
    ],
)
def test_name_that_is_no_filter_lists_nothing(
    desk: Client, query: str, names: str
) -> None:
    session = opened(department="Legal")
    answer = desk.get(LIST + query)
    text = answer.content.decode()
    assert answer.status_code == 422
    assert str(session.session_id) not in text
    assert names in text


def test_secret_in_place_of_a_filters_name_is_not_repeated(desk: Client) -> None:
    session = opened()
    answer = desk.get(f"{LIST}?{session.session_key}=1")
    assert answer.status_code == 422
    assert str(session.session_key) not in answer.content.decode()


def test_change_of_device_is_flagged(desk: Client) -> None:
    session = opened()
    session["changes"] = [[1_700_000_000, "198.51.100.1", IPHONE]]
    session.save()
    assert "Also used from elsewhere" in page(desk)


def test_list_is_changed_by_no_post(desk: Client) -> None:
    assert desk.post(LIST).status_code == 405


def test_filter_that_nothing_matches_is_no_mistake(desk: Client) -> None:
    answer = desk.get(f"{LIST}?department=Nowhere")
    assert answer.status_code == 200
    assert "No live session matches." in answer.content.decode()
