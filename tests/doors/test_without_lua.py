"""The gate's contract once more, at the nginx door that has no Lua.

The tests are those of the other modules; here they get another door. What it cannot do
is in docs/doors.md, and the command that makes it says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests import nginx
from tests.doors import (
    test_contract,
    test_faults,
    test_fields,
    test_kills,
    test_messages,
    test_outages,
    test_tricks,
    test_twice,
)
from tests.doors.conftest import fresh_key
from tests.doors.house import Door, House
from tests.doors.server import running_nginx
from tests.doors.test_deployment import DOCS, manage, without_cookies


@pytest.fixture(scope="module")
def door(house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    folder = tmp_path_factory.mktemp("plain")
    site, options = without_cookies(house, folder), ("check", "--without-lua")
    modules = nginx.MODULES_WITHOUT_LUA
    with running_nginx(site, folder, *options, modules=modules) as address:
        yield Door(house, "plain", address)


@pytest.fixture(scope="module")
def lasting_key(door: Door) -> str:
    """A session of its own: the last tests end all there are."""
    return fresh_key(door.house)


@pytest.fixture
def tunnel(door: Door) -> Door:
    return door


def test_the_command_and_the_page_say_what_this_door_does_not_do(
    house: House, tmp_path: Path
) -> None:
    plain = replace(house, site=without_cookies(house, tmp_path))
    found = manage(plain, {}, str(tmp_path), "--door", "check", "--without-lua")
    said = re.findall(r"^- (.+)$", found.stderr, re.MULTILINE)
    section = DOCS.read_text(encoding="utf-8").partition("### Without Lua")[2]
    listed = re.findall(r"^- (.+)$", section.partition("\n#")[0], re.MULTILINE)
    assert said
    assert said == listed


def test_the_script_is_lua(house: House, tmp_path: Path) -> None:
    found = manage(house, {}, str(tmp_path), "--door", "script", "--without-lua")
    assert found.returncode == 1
    assert "--without-lua" in found.stderr
    assert list(tmp_path.iterdir()) == []


NOT_HERE = {
    test_contract.test_a_header_that_is_too_large_is_refused,
    test_faults.test_a_head_with_two_readings_is_down,
    test_faults.test_an_answer_without_a_status_line_is_down_or_cut,
    test_faults.test_an_interim_answer_is_not_taken_for_the_answer,
    test_faults.test_an_answer_that_never_ends_has_an_end,
    test_faults.test_an_upload_that_stalls_has_an_end,
    test_faults.test_a_download_that_nobody_reads_has_an_end,
    test_messages.test_a_field_that_connection_names_ends_here,
    test_messages.test_what_an_upstream_says_to_us_alone_ends_here,
    test_messages.test_hops_are_counted,
    test_messages.test_the_last_hop_answers_for_itself,
    test_twice.test_a_body_too_large_is_not_expected_either,
    test_twice.test_a_websocket_among_others_needs_the_origin_of_the_site,
    test_twice.test_the_doors_count_hops_alike,
    test_twice.test_the_way_is_signed_after_all_who_signed_before,
    test_twice.test_what_nobody_can_promise_is_417,
}
CONTRACT = [
    test
    for module in (test_contract, test_faults, test_messages, test_tricks, test_twice)
    for name, test in vars(module).items()
    if name.startswith("test_") and test not in NOT_HERE
]
# Last, because they end the store or sessions.
LAST = (
    test_fields.test_every_answer_is_defended_and_kept_by_nobody,
    test_outages.test_a_dead_store_is_503_and_the_cookie_lives_on,
    test_kills.test_a_killed_session_is_refused_by_the_next_call,
    test_kills.test_a_websocket_of_another_page_is_refused,
    test_kills.test_a_websocket_passes_both_ways,
    test_kills.test_a_websocket_without_a_session_is_401,
    test_kills.test_a_cut_off_ends_everyone,
)
globals().update({test.__name__: test for test in [*CONTRACT, *LAST]})
