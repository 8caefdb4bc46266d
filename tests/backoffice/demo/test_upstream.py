from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from backoffice.demo.upstream import PAGE_SIZE, Upstream
from backoffice.demo.upstream_data import DAYS, MEMBER_COUNT, MEMBERS, ORDERS, Notes
from tests.backoffice.demo.processes import ends, first_line, python


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    upstream = Upstream().start()
    yield upstream
    upstream.stop()


def call(
    upstream: Upstream, path: str, method: str = "GET", **options: Any
) -> requests.Response:
    url = f"{upstream.origin}{path}"
    return requests.request(method, url, timeout=60, allow_redirects=False, **options)


def test_members_come_in_pages(upstream: Upstream) -> None:
    first = call(upstream, "/v1/members").json()
    assert (first["page"], first["total"]) == (1, MEMBER_COUNT)
    assert len(first["items"]) == PAGE_SIZE
    last = call(upstream, f"/v1/members/?page={first['pages']}").json()
    assert last["items"][-1]["id"] == list(MEMBERS)[-1]


@pytest.mark.parametrize("text", ["서울", "london", "M-1003", "member1003@"])
def test_members_are_found_in_both_languages(upstream: Upstream, text: str) -> None:
    found = call(upstream, "/v1/members", params={"q": text}).json()
    assert 0 < found["total"] < MEMBER_COUNT


def test_members_nobody_matches_is_an_empty_page(upstream: Upstream) -> None:
    found = call(upstream, "/v1/members?q=nobody-at-all").json()
    assert (found["total"], found["pages"], found["items"]) == (0, 1, [])


def test_members_have_different_names_and_both_languages() -> None:
    names = {each.name for each in MEMBERS.values()}
    assert len(names) > MEMBER_COUNT * 0.9
    assert {each.language for each in MEMBERS.values()} == {"ko", "en"}


def test_member_gets_a_note_that_stays(upstream: Upstream) -> None:
    path = "/v1/members/M-1001"
    headers = {"X-Staff-Name": "%EA%B9%80%EC%84%9C%EC%97%B0"}
    answer = call(
        upstream, f"{path}/notes", "POST", json={"text": " 전화함 "}, headers=headers
    )
    assert answer.status_code == 201
    note = answer.json()
    assert (note["text"], note["author"]) == ("전화함", "김서연")
    assert call(upstream, path).json()["notes"] == [note]
    assert call(upstream, f"{path}/notes").json() == [note]


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        ("{}", "application/json", 400),
        ("[]", "application/json", 400),
        ("{", "application/json", 400),
        ('{"text": 1}', "application/json", 400),
        ('{"text": " "}', "application/json", 400),
        (json.dumps({"text": "x" * 501}), "application/json", 400),
        ("text=x", "application/x-www-form-urlencoded", 415),
    ],
)
def test_note_that_is_none_is_refused(
    upstream: Upstream, body: str, kind: str, status: int
) -> None:
    answer = call(
        upstream,
        "/v1/members/M-1002/notes",
        "POST",
        data=body,
        headers={"Content-Type": kind},
    )
    assert answer.status_code == status
    assert answer.json()["status"] == status


def test_notes_do_not_grow_for_ever() -> None:
    notes = Notes()
    for number in range(Notes.PER_MEMBER + 1):
        notes.add("M-1", str(number), "")
    assert len(notes.of("M-1")) == Notes.PER_MEMBER
    assert notes.of("M-1")[0]["text"] == "1"


def test_orders_belong_to_members(upstream: Upstream) -> None:
    order = call(upstream, "/v1/orders").json()["items"][0]
    assert call(upstream, f"/v1/orders/{order['id']}").json() == order
    assert order["member"] in MEMBERS


def test_report_counts_every_order_once(upstream: Upstream) -> None:
    days = call(upstream, "/v1/reports/daily").json()["days"]
    assert len(days) == DAYS
    assert sum(day["orders"] for day in days) == len(ORDERS)
    assert call(upstream, "/v1/reports/").json() == {"reports": ["daily"]}


def test_echo_shows_what_arrived(upstream: Upstream) -> None:
    path = "/v1/echo/a%2Fb?x=1&x=%EA%B9%80"
    answer = call(upstream, path, "PATCH", data="한글", headers={"X-One": "1"}).json()
    assert (answer["method"], answer["target"]) == ("PATCH", path)
    assert answer["query"] == [["x", "1"], ["x", "김"]]
    assert ["X-One", "1"] in answer["headers"]
    assert (answer["body"], answer["body_size"]) == ("한글", 6)


def test_events_stream_and_end(upstream: Upstream) -> None:
    answer = call(upstream, "/v1/events?count=2")
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert answer.text.count("event: tick\n") == 2


def test_slow_answers_after_its_time(upstream: Upstream) -> None:
    answer = call(upstream, "/v1/slow?seconds=0.05")
    assert answer.json() == {"waited_seconds": 0.05}
    assert answer.elapsed.total_seconds() >= 0.05


@pytest.mark.parametrize("seconds", ["x", "-1", "121", "nan", "inf"])
def test_slow_refuses_what_it_cannot_wait(upstream: Upstream, seconds: str) -> None:
    assert call(upstream, f"/v1/slow?seconds={seconds}").status_code == 400


@pytest.mark.parametrize(
    ("code", "header"),
    [(200, ""), (204, ""), (302, "Location"), (401, "WWW-Authenticate"), (503, "")],
)
def test_status_is_the_one_asked_for(
    upstream: Upstream, code: int, header: str
) -> None:
    answer = call(upstream, f"/v1/status/{code}")
    assert answer.status_code == code
    assert not header or header in answer.headers


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/v2/members", "GET", 404),
        ("/v1", "GET", 404),
        ("/v1/nothing", "GET", 404),
        ("/v1/members/M-1", "GET", 404),
        ("/v1/members/M-1001/x", "GET", 404),
        ("/v1/orders/O-1", "GET", 404),
        ("/v1/orders/O-50001/x", "GET", 404),
        ("/v1/reports/weekly", "GET", 404),
        ("/v1/status/999", "GET", 404),
        ("/v1/status/101", "GET", 404),
        ("/v1/members", "DELETE", 405),
        ("/v1/members?page=x", "GET", 400),
    ],
)
def test_error_is_json_with_its_status(
    upstream: Upstream, path: str, method: str, status: int
) -> None:
    answer = call(upstream, path, method)
    assert answer.status_code == status
    assert answer.json()["status"] == status


def test_front_page_lists_the_ends(upstream: Upstream) -> None:
    for path in call(upstream, "/").json()["ends"].values():
        quick = path.replace("seconds=3", "seconds=0")
        assert call(upstream, quick, "HEAD").status_code in {200, 418}


def test_upstream_beyond_loopback_refuses_in_one_line() -> None:
    host = "0.0.0.0"  # noqa: S104 - refused
    with python("-m", "backoffice.demo.upstream", "--host", host) as process:
        assert ends(process) == (1, "", f"{host} is not a loopback address\n")


def test_upstream_on_a_taken_port_refuses_in_one_line(upstream: Upstream) -> None:
    port = upstream.origin.rpartition(":")[2]
    with python("-m", "backoffice.demo.upstream", "--port", port) as process:
        code, _, err = ends(process)
    assert (code, err.count("\n")) == (1, 1)


def test_upstream_serves_until_told_to_stop() -> None:
    with python("-m", "backoffice.demo.upstream") as process:
        assert requests.get(first_line(process), timeout=60).status_code == 200
        process.send_signal(signal.SIGINT)
        assert ends(process)[0] == 0
