"""Who gets an account, which one, and what becomes of the session before."""

from __future__ import annotations

import pytest
import redis
from django.conf import settings as site_settings
from pytest_django.fixtures import Settings
from social_django.models import UserSocialAuth

from accounts import audit, keys
from accounts.models import AuditEntry, User
from accounts.profile import StaffProfile
from backoffice.demo.provider import Provider
from tests.accounts.sessions.conftest import PROFILE
from tests.accounts.sso.conftest import set_up
from tests.accounts.sso.person import (
    ADMIN,
    BEGIN,
    CONTRACTOR,
    SUPPORT,
    Person,
    assert_refused,
    assert_signed_in,
)
from tests.conftest import Travel

Log = pytest.LogCaptureFixture


def test_account_of_the_same_name_and_address_elsewhere_is_not_taken_over(
    person: Person,
) -> None:
    """OID-13, OID-14."""
    profile = {**PROFILE, "issuer": "https://other.example", "sub": SUPPORT}
    profile |= {"username": "jihoon.park", "email": "jihoon.park@example.com"}
    planted, _ = User.objects.enter(StaffProfile(**profile))
    assert_signed_in(person.sign_in(), person)
    mine = User.objects.exclude(pk=planted.pk).get(sub=SUPPORT)
    assert mine.issuer == person.provider.issuer
    assert mine.email == planted.email


def test_nothing_in_the_pipeline_goes_by_address_or_name() -> None:
    """OID-14."""
    steps = " ".join(site_settings.SOCIAL_AUTH_PIPELINE)
    assert "associate_by_email" not in steps
    assert "create_user" not in steps
    assert "user_details" not in steps


def test_who_is_no_staff_gets_no_row_of_any_kind(person: Person, caplog: Log) -> None:
    """OID-15."""
    answer = person.sign_in(CONTRACTOR)
    assert_refused(answer, person, caplog, kind="not-staff", status=403)
    assert not User.objects.exists()
    assert not UserSocialAuth.objects.exists()
    assert person.session_key is None


def test_who_is_no_staff_can_go_on_with_another_account(person: Person) -> None:
    page = person.sign_in(CONTRACTOR).content.decode()
    assert f'action="{BEGIN}"' in page
    assert '<input type="hidden" name="account" value="another">' in page
    again = person.site.post(BEGIN, {"account": "another"})
    assert "prompt=select_account" in again["Location"]
    assert_signed_in(person.come_back(person.authorize(again["Location"])), person)


def test_person_who_picks_nothing_is_asked_for_no_other_account(
    person: Person,
) -> None:
    assert "prompt" not in person.asked()


def test_somebody_elses_sign_in_ends_the_first_session_and_links_nothing(
    person: Person,
) -> None:
    """OID-16, SES-05: A and then B, in one browser."""
    person.sign_in()
    first = person.session_key
    person.http.cookies.clear()
    assert_signed_in(person.sign_in(ADMIN), person, ADMIN)
    assert person.session_key != first
    assert {each.user.sub for each in UserSocialAuth.objects.all()} == {SUPPORT, ADMIN}
    assert AuditEntry.objects.filter(event=audit.Event.REPLACED).count() == 1


def test_same_persons_second_sign_in_has_a_new_key(
    person: Person, store: redis.Redis
) -> None:
    """SES-05."""
    person.sign_in()
    first = str(person.session_key)
    name = keys.value(keys.session_id(first))
    assert store.exists(name)
    person.sign_in()
    assert person.session_key != first
    assert not store.exists(name)
    assert UserSocialAuth.objects.count() == 1


def test_what_was_planted_before_the_sign_in_does_not_survive_it(
    person: Person,
) -> None:
    """SES-06."""
    back = person.callback()
    planted = person.session
    planted["planted"] = True
    planted.save()
    person.come_back(back)
    assert "planted" not in person.session


def test_session_knows_who_where_and_when(person: Person, idp: Provider) -> None:
    """OID-23."""
    person.sign_in()
    found, profile = person.session["sign_in"], person.session["profile"]
    assert found["sid"] in idp.sessions
    assert found["authenticated_at"] == idp.sessions[found["sid"]].auth_time
    assert (profile["issuer"], profile["sub"]) == (idp.issuer, SUPPORT)


def test_nothing_of_the_provider_is_kept_with_the_account(person: Person) -> None:
    """OID-22."""
    person.sign_in()
    assert UserSocialAuth.objects.get().extra_data == {}


def test_providers_own_words_are_on_no_page(person: Person, caplog: Log) -> None:
    """OID-26."""
    address = person.callback()
    answer = person.come_back(
        address,
        code=None,
        error="temporarily_unavailable",
        error_description="<script>alert(1)</script>",
        error_uri="https://evil.example",
    )
    assert_refused(answer, person, caplog, kind="provider-down", status=502)
    assert b"alert(1)" not in answer.content
    assert b"evil.example" not in answer.content
    assert "alert(1)" not in caplog.text


@pytest.mark.parametrize(
    ("error", "kind", "status"),
    [
        ("access_denied", "cancelled", 403),
        ("login_required", "provider-answer", 502),
        ("server_error", "provider-down", 502),
        ("invalid_scope", "other", 500),
    ],
)
@pytest.mark.parametrize("language", ["en", "ko"])
def test_error_is_said_in_our_words_with_a_reference_and_a_way_on(
    person: Person, caplog: Log, error: str, kind: str, status: int, language: str
) -> None:
    person.site.cookies["django_language"] = language
    answer = person.come_back(person.callback(), code=None, error=error)
    assert_refused(answer, person, caplog, kind=kind, status=status)
    page = answer.content.decode()
    assert f'lang="{language}"' in page
    assert answer["X-Request-ID"] in page
    assert 'href="/sign-in/"' in page
    assert ("Reference" in page) is (language == "en")


def no_sid_lines(caplog: Log) -> list[str]:
    found = [record.getMessage() for record in caplog.records]
    return [line for line in found if line.startswith("frontchannel_logout_no_sid")]


def test_id_token_without_sid_is_warned_of_once_an_hour_where_frames_log_out(
    person: Person, idp: Provider, settings: Settings, travel: Travel, caplog: Log
) -> None:
    """Nothing that the provider could load in a frame would name the session."""
    set_up(settings, frontchannel_logout=True)
    idp.faults.add("sid-missing")
    for _ in range(3):
        assert_signed_in(person.sign_in(), person)
    assert no_sid_lines(caplog) == ["frontchannel_logout_no_sid provider=oidc"]
    travel.shift(3601)
    person.sign_in()
    assert len(no_sid_lines(caplog)) == 2


@pytest.mark.parametrize(("is_on", "fault"), [(True, ""), (False, "sid-missing")])
def test_there_is_no_such_warning_without_need(
    person: Person,
    idp: Provider,
    settings: Settings,
    caplog: Log,
    is_on: bool,
    fault: str,
) -> None:
    set_up(settings, frontchannel_logout=is_on)
    if fault:
        idp.faults.add(fault)
    assert_signed_in(person.sign_in(), person)
    assert no_sid_lines(caplog) == []
