"""The gate's contract once more, behind each of the other servers that door 2 knows.

The tests are those of the other modules; here they get another door.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from backoffice.proxy.paths import PREFIX, read_target
from tests import servers
from tests.doors import test_contract, test_crosstalk, test_kills, test_tricks
from tests.doors.conftest import fresh_key
from tests.doors.examples import START, running_example
from tests.doors.house import Door, House, proof, read_until
from tests.doors.test_outages import frozen, site_processes
from tests.waiting import IO_SECONDS


@pytest.fixture(scope="module", params=START)
def door(
    house: House, request: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Door]:
    name = request.param
    if servers.find(name) is None:
        pytest.skip(servers.HOW_TO_GET_THEM[name])
    with running_example(house, name, tmp_path_factory.mktemp(name)) as address:
        yield Door(house, name, address)


@pytest.fixture(scope="module")
def lasting_key(door: Door) -> str:
    """A session for each server: the last tests at one end all there are."""
    return fresh_key(door.house)


@pytest.fixture
def tunnel(door: Door) -> Door:
    return door


@pytest.mark.parametrize("target", test_tricks.TRICKS)
def test_what_passes_has_one_reading(door: Door, lasting_key: str, target: str) -> None:
    """These servers write some targets anew before they ask. What the gate did not
    refuse then must be what the upstream gets, and have one reading."""
    seen = door.seen
    target = target.replace("site.example", door.host)
    found = door.ask(target.encode("utf-8"), key=lasting_key)
    if found.status == 200 and door.seen > seen:
        sent = door.house.upstream.last.target.decode("ascii")
        assert sent.startswith("/v1")
        assert read_target(f"{PREFIX}/echo{sent[3:]}", door.host).route == "echo"
    else:
        assert 400 <= found.status < 500 or found.status == 0
        assert door.seen == seen


@pytest.mark.parametrize("fields", test_tricks.FRAMINGS)
def test_doubtful_framing_is_refused_or_made_anew(
    door: Door, lasting_key: str, fields: list[bytes]
) -> None:
    seen = door.seen
    body = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    fields = [*map(str.encode, proof(door)), *fields]
    target = "/api/proxy/echo/"
    door.ask(target, *fields, key=lasting_key, method="POST", body=body)
    new = door.house.upstream.requests[seen:]
    assert len(new) <= 1
    for one in new:
        assert one.line == b"POST /v1/ HTTP/1.1"
        framing = one.all("Content-Length") + one.all("Transfer-Encoding")
        assert framing in (["chunked"], ["0"], ["5"])


def test_nobody_outside_says_where_the_site_begins(door: Door) -> None:
    """Some of these servers pass names with underscores on."""
    found = door.ask("/x/gate/fence", "Script_Name: /x", method="POST")
    assert found.status == 404


@pytest.mark.parametrize("name", test_crosstalk.SPOILERS)
def test_late_bytes_reach_no_other_request(
    door: Door, lasting_key: str, name: str
) -> None:
    method, first, late = test_crosstalk.SPOILERS[name]
    act = door.act(test_crosstalk.then_late(first, late))
    for _ in range(4):
        door.ask(f"/api/proxy/echo/{act}", key=lasting_key, method=method)
        found = door.ask("/api/proxy/echo/", key=lasting_key)
        assert (found.status, found.content) == (200, b"hello")


def test_an_upstream_that_is_away_is_502(door: Door, key: str) -> None:
    found = door.ask("/api/proxy/gone/", key=key)
    assert found.status in {502, 503}
    assert "127.0.0.1" not in found.head + found.body.decode()


def test_a_site_that_is_away_lets_nobody_in(door: Door, key: str) -> None:
    seen = door.seen
    # Traefik waits for half a minute; the others no longer than they are told.
    seconds = 2 if door.name == "traefik" else IO_SECONDS
    with (
        frozen(*site_processes(door.house)),
        door.open("/api/proxy/echo/", key) as sock,
        suppress(TimeoutError),
    ):
        said = read_until(sock, b"\r\n\r\n", seconds)
        assert said[9:12] in {b"502", b"503", b"504"}
    assert door.seen == seen


CONTRACT = (
    test_contract.test_a_body_within_its_route_s_limit_passes,
    test_contract.test_a_host_that_is_not_ours_is_refused,
    test_contract.test_a_live_session_passes,
    test_contract.test_a_method_no_one_may_use_names_those_one_may,
    test_contract.test_a_route_may_get_a_signed_token,
    test_contract.test_a_route_may_get_no_identity,
    test_contract.test_a_write_with_proof_passes,
    test_contract.test_a_write_without_proof_is_refused,
    test_contract.test_an_answer_is_cleaned,
    test_contract.test_an_answer_of_the_upstream_is_not_taken_for_ours,
    test_contract.test_nothing_a_client_says_passes_for_our_word,
    test_contract.test_other_sites_and_script_tags_may_not_read,
    test_contract.test_the_gate_cannot_be_asked_from_outside,
    test_contract.test_the_upstream_gets_the_rest_of_the_target_as_it_came,
    test_contract.test_the_upstream_learns_who_is_calling,
    test_contract.test_what_a_live_session_may_not_do,
    test_contract.test_without_a_live_session_all_calls_get_one_answer,
    test_tricks.test_a_key_in_the_address_is_no_session,
    test_tricks.test_any_other_cookie_is_refused_without_a_trace,
    test_tricks.test_one_proper_cookie_passes,
    test_tricks.test_two_hosts_are_refused,
    # Last, because they end sessions.
    test_kills.test_a_cut_off_ends_everyone,
    test_kills.test_a_killed_session_is_refused_by_the_next_call,
    test_kills.test_a_websocket_of_another_page_is_refused,
    test_kills.test_a_websocket_passes_both_ways,
    test_kills.test_a_websocket_without_a_session_is_401,
)
globals().update({test.__name__: test for test in CONTRACT})
