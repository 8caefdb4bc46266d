"""Each event has a test in which the site itself makes it happen (LOG-01)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from accounts.audit import Event

ACCOUNTS = Path(__file__).parents[1]
PROXY = "../backoffice/proxy/test_gate.py"
PROOFS = {
    Event.SIGNED_IN: (
        "sso/test_recorded.py",
        "test_sign_in_and_sign_out_are_recorded_with_the_session",
    ),
    Event.NEW_DEVICE: (
        "test_devices.py",
        "test_another_device_is_recorded",
    ),
    Event.DEVICE_DENIED: (
        "test_devices.py",
        "test_no_is_recorded_for_security_admins",
    ),
    Event.SIGN_IN_REFUSED: (
        "sso/test_recorded.py",
        "test_refused_sign_in_is_recorded_without_a_session",
    ),
    Event.LIMIT_REACHED: ("test_limit.py", "test_oldest_goes_out"),
    Event.SUSPENDED: (
        "sso/test_suspension.py",
        "test_suspension_is_recorded_and_so_is_the_refusal",
    ),
    Event.RESTORED: (
        "sso/test_suspension.py",
        "test_lifted_by_hand_lets_in_and_is_recorded",
    ),
    Event.RENEWED: (
        "sso/test_renewal.py",
        "test_changed_groups_act_at_the_next_request",
    ),
    Event.RENEWAL_REFUSED: (
        "sso/test_renewal.py",
        "test_refused_token_ends_the_session_at_once",
    ),
    Event.STEPPED_UP: (
        "sso/test_step_up.py",
        "test_confirmation_is_recorded_with_both_references",
    ),
    Event.STEP_UP_REFUSED: (
        "sso/test_step_up.py",
        "test_provider_that_did_not_ask_again_is_refused",
    ),
    Event.ADDRESS_CHANGED: (
        "sessions/test_watched.py",
        "test_change_is_recorded_once_however_often_it_is_used",
    ),
    Event.AGENT_CHANGED: (
        "sessions/test_watched.py",
        "test_notice_reaches_the_session_of_a_real_request",
    ),
    Event.SIGNED_OUT: (
        "sso/test_recorded.py",
        "test_sign_in_and_sign_out_are_recorded_with_the_session",
    ),
    Event.REPLACED: (
        "sso/test_recorded.py",
        "test_second_sign_in_of_a_browser_replaces_the_first",
    ),
    Event.ENDED: (
        "sso/test_recorded.py",
        "test_end_of_ones_own_is_recorded_as_such",
    ),
    Event.KILLED: (
        "commands/test_ending_selected.py",
        "test_filter_ends_exactly_those_it_means",
    ),
    Event.EXPIRED: (
        "sessions/test_expiry.py",
        "test_session_that_ran_out_is_entered_once",
    ),
    Event.LOGGED_OUT_BY_PROVIDER: (
        "sso/test_frontchannel.py",
        "test_frame_ends_the_session_without_any_cookie",
    ),
    Event.BULK_KILLED: (
        "commands/test_ending_selected.py",
        "test_filter_ends_exactly_those_it_means",
    ),
    Event.CUT_OFF: (
        "commands/test_ending_selected.py",
        "test_everyone_takes_a_yes_and_is_one_mark",
    ),
    Event.LOGOUT_REFUSED: (
        "sso/test_backchannel.py",
        "test_refused_logout_is_logged_with_its_reason_and_audited_once",
    ),
    Event.RIGHTS_CHANGED: (
        "sso/test_standing.py",
        "test_rights_go_up_and_down_at_sign_in_and_are_recorded",
    ),
    Event.CALL_REFUSED: (
        PROXY,
        "test_a_refusal_of_note_waits_to_be_audited_and_another_does_not",
    ),
    Event.STORE_LOST: (
        "sessions/test_noteworthy.py",
        "test_outage_is_entered_once_with_its_beginning_and_its_end",
    ),
    Event.STORE_BACK: (
        "sessions/test_noteworthy.py",
        "test_outage_is_entered_once_with_its_beginning_and_its_end",
    ),
    Event.PURGED: (
        "commands/test_purge_sessions.py",
        "test_without_arguments_it_removes_the_dead_and_ends_nobody",
    ),
    Event.REPAIRED: (
        "commands/test_purge_sessions.py",
        "test_check_finds_strays_and_repair_mends_them",
    ),
    Event.AUDIT_EXPORTED: (
        "commands/test_audit_commands.py",
        "test_export_writes_lines_and_leaves_an_entry",
    ),
    Event.AUDIT_TRIMMED: (
        "audit/test_retention.py",
        "test_old_entries_go_and_one_stands_for_them",
    ),
}


@pytest.mark.parametrize("event", list(Event))
def test_event_is_made_to_happen_by_a_test_that_looks_for_it(event: Event) -> None:
    file, name = PROOFS[event]
    text = (ACCOUNTS / file).read_text()
    found = [
        ast.get_source_segment(text, node)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef) and node.name == name
    ]
    (body,) = found
    assert body
    assert f'"{event.value}"' in body or f"Event.{event.name}" in body


def test_names_are_subject_and_action() -> None:
    for event in Event:
        subject, action = event.value.split(":")
        assert subject.replace("-", "").isalpha()
        assert action.replace("-", "").isalpha()
