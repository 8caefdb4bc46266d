"""I4: the host's clock jumps back an hour, and nothing lives longer for it."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
import redis
from pytest_django.fixtures import Settings

from accounts import keys
from accounts.models import User
from accounts.sessions import clock, live
from accounts.sso import renewal, replay
from accounts.sso.logout_token import LEEWAY_SECONDS, MAX_AGE_SECONDS, LogoutToken
from tests.accounts.sso.conftest import set_up
from tests.accounts.sso.person import SUPPORT, Person
from tests.accounts.sso.test_step_up import begin, is_fresh, step_up_as
from tests.conftest import Travel

HOUR = 3600
RENEW = 900


class Host:
    """`set_back` moves the clock on the wall, `wait` that one and the steady one."""

    def __init__(self, travel: Travel, monkeypatch: pytest.MonkeyPatch) -> None:
        self.travel, self.waited = travel, 0.0
        steady = time.monotonic
        replaced = SimpleNamespace(
            time=time.time, monotonic=lambda: steady() + self.waited
        )
        monkeypatch.setattr(clock, "time", replaced)
        clock.reset()

    def set_back(self, seconds: float) -> None:
        clock.now()
        self.travel.shift(-seconds)

    def wait(self, seconds: float) -> None:
        self.waited += seconds
        self.travel.shift(seconds)


@pytest.fixture
def host(travel: Travel, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(travel, monkeypatch)


def test_idle_limit(person: Person, host: Host, settings: Settings) -> None:
    person.sign_in()
    host.set_back(HOUR)
    host.wait(settings.SESSION_IDLE_SECONDS - 60)
    assert person.signed_in_as == SUPPORT
    host.set_back(HOUR)
    host.wait(settings.SESSION_IDLE_SECONDS + 1)
    assert person.signed_in_as is None


def test_absolute_limit(person: Person, host: Host, settings: Settings) -> None:
    person.sign_in()
    step = settings.SESSION_IDLE_SECONDS - 60
    for _ in range(settings.SESSION_ABSOLUTE_SECONDS // step):
        host.set_back(HOUR)
        host.wait(step)
        assert person.signed_in_as == SUPPORT
    host.wait(settings.SESSION_ABSOLUTE_SECONDS % step + 1)
    assert person.signed_in_as is None


def test_session_of_before_is_refused_by_a_process_that_began_after(
    person: Person, host: Host
) -> None:
    """It cannot know how old the session is."""
    person.sign_in()
    host.set_back(HOUR)
    clock.reset()
    assert person.signed_in_as is None


def test_freshness(person: Person, host: Host, settings: Settings) -> None:
    person.sign_in()
    host.set_back(HOUR)
    assert is_fresh(person)
    host.wait(settings.STEP_UP_SECONDS + 1)
    assert not is_fresh(person)


def test_step_up_after_the_jump_is_fresh(person: Person, host: Host) -> None:
    """Shorter by the jump would be wrong, too: nobody could get on."""
    person.sign_in()
    host.set_back(HOUR)
    host.wait(600)
    assert not is_fresh(person)
    assert step_up_as(person).status_code == 302
    assert is_fresh(person)


def test_proof_of_the_future_is_not_fresh(person: Person, host: Host) -> None:
    person.sign_in()
    session = person.session
    session["sign_in"] = {
        **session["sign_in"],
        "authenticated_at": int(clock.now()) + HOUR,
    }
    session.save()
    assert not is_fresh(person)


def test_renewal_is_due_when_it_was(
    person: Person, host: Host, settings: Settings
) -> None:
    set_up(settings, renew_seconds=RENEW)
    person.sign_in()
    record = person.session.record
    assert record is not None
    host.set_back(HOUR)
    assert renewal.renew(record.id) == renewal.Result.NOT_DUE
    host.wait(RENEW + 1)
    assert renewal.renew(record.id) == renewal.Result.RENEWED


@pytest.mark.parametrize("seconds", [300, HOUR])
def test_sign_in_that_was_begun(person: Person, host: Host, seconds: int) -> None:
    asked = person.begin()["Location"]
    host.wait(500)
    host.set_back(seconds)
    host.wait(200)
    assert person.come_back(person.authorize(asked)).status_code == 403


@pytest.mark.parametrize("seconds", [300, HOUR])
def test_step_up_that_was_begun(person: Person, host: Host, seconds: int) -> None:
    """Its session lives on, so here the state alone is in question."""
    person.sign_in()
    key = person.session_key
    asked = begin(person)["Location"]
    host.wait(500)
    host.set_back(seconds)
    host.wait(200)
    person.come_back(person.authorize(asked))
    assert person.session_key == key


def test_sign_in_after_a_kill_comes_after_it(person: Person, host: Host) -> None:
    person.sign_in()
    host.set_back(HOUR)
    live.end_person(User.objects.get(), by="test")
    assert person.signed_in_as is None
    host.wait(2)
    person.sign_in()
    assert person.signed_in_as == SUPPORT


def test_used_logout_token_is_remembered_until_it_is_too_old_again(
    store: redis.Redis,
) -> None:
    """The store's clock need not be the one that was set back."""
    token = LogoutToken("https://idp.example", "j-1", "u-1", None)
    replay.use_up(token)
    acceptable = MAX_AGE_SECONDS + 2 * LEEWAY_SECONDS
    assert store.ttl(keys.logout_token(token.issuer, token.jti)) > acceptable + HOUR
