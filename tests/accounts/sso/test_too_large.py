"""Answers that are larger than anything we could keep of them."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_django.fixtures import Settings

from accounts.models import User
from accounts.sessions import clock
from accounts.sessions.seal import MAX_BYTES
from accounts.sessions.store import SessionStore
from accounts.sso import refresh_token, step_up
from accounts.sso.pipeline import MAX_GROUPS_BYTES
from accounts.sso.question import MAX_OF_ONE_BROWSER
from accounts.sso.refresh_token import MAX_LENGTH
from accounts.sso.sign_in import MAX_HINT
from tests.accounts.sso.conftest import set_up
from tests.accounts.sso.person import Person, assert_refused, assert_signed_in
from tests.accounts.sso.test_backend import ANSWER, profile_answer
from tests.accounts.sso.test_strangers import assert_out, stranger
from tests.fakes.stranger import Stranger

__all__ = ["profile_answer", "stranger"]

Log = pytest.LogCaptureFixture
LONG = "\U0001f600" * 200_000


@pytest.mark.parametrize("value", [LONG, [LONG], {"of": LONG}, 1e308])
@pytest.mark.parametrize("field", ["name", "department", "preferred_username", "email"])
def test_field_that_is_endless_is_cut_or_left_out(
    person: Person, profile_answer: dict[str, Any], field: str, value: Any
) -> None:
    profile_answer["body"] = {field: value}
    assert_signed_in(person.sign_in(), person)
    user = User.objects.get()
    kept = (user.name, user.department, user.username, user.email)
    assert max(map(len, kept)) <= 255


@pytest.mark.parametrize("letter", ["g", "\uae40", '"'])
def test_groups_are_counted_as_a_session_holds_them(
    person: Person, profile_answer: dict[str, Any], caplog: Log, letter: str
) -> None:
    names = [f"{letter * 50}{number}" for number in range(MAX_GROUPS_BYTES // 50)]
    profile_answer["body"] = {"groups": ["staff", *names]}
    assert_refused(person.sign_in(), person, caplog, **ANSWER, why="claim=groups")


def test_parts_that_together_are_too_large_end_on_a_page(
    stranger: Stranger, settings: Settings
) -> None:
    """No token known is written like this, but nothing forbids it."""
    set_up(settings, renew_seconds=60)
    token = "\U0001f600" * MAX_LENGTH
    assert len(token.encode()) >= MAX_BYTES
    stranger.token_answer = {"refresh_token": token}
    assert_out(stranger)


LETTERS = ["a", "\uae40", "\U0001f600", '"']


@pytest.mark.parametrize("letter", LETTERS, ids=map(hex, map(ord, LETTERS)))
def test_many_begun_with_endless_places_to_return_to_end_in_no_error(
    person: Person, letter: str
) -> None:
    """Each is in bounds; all of one browser together must be as well."""
    target = "/" + letter * 1900
    for _ in range(2 * MAX_OF_ONE_BROWSER):
        assert person.begin(target).status_code == 302
    assert_signed_in(person.sign_in(), person)


@pytest.mark.parametrize("letter", LETTERS, ids=map(hex, map(ord, LETTERS)))
def test_many_step_ups_with_endless_places_to_return_to_end_in_no_error(
    person: Person,
    profile_answer: dict[str, Any],
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    letter: str,
) -> None:
    """In a session that holds as much of everything as it may."""
    names = [f"{'g' * 50}{number}" for number in range(MAX_GROUPS_BYTES // 60)]
    profile_answer["body"] = {"groups": ["staff", *names]}
    set_up(settings, renew_seconds=60)
    person.sign_in()
    fill(person.session)
    target = "/" + letter * 1900
    monkeypatch.setattr(step_up, "MAX_ATTEMPTS", 100)
    for _ in range(2 * MAX_OF_ONE_BROWSER):
        assert person.site.post("/sso/step-up/", {"next": target}).status_code == 302
    back = person.site.post("/sso/step-up/", {"next": "/sessions/"})["Location"]
    assert person.come_back(person.authorize(back))["Location"] == "/sessions/"


def fill(session: SessionStore) -> None:
    """The longest tokens that are kept, beside the groups."""
    session["sign_in"] = {**session["sign_in"], "id_token": "x" * MAX_HINT}
    session[refresh_token.SESSION_KEY] = ["x" * MAX_LENGTH, clock.now() + 3600, 0]
    session.save()
