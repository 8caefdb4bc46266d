"""Several sessions read with one question; its outage is everybody's."""

from __future__ import annotations

import pytest
from pytest_django.fixtures import Settings

from accounts.sessions import live
from accounts.sessions.errors import SessionStoreError
from accounts.sessions.store import TOUCH_SECONDS, SessionStore
from accounts.sessions.together import Together
from tests.accounts.sessions.conftest import Shapes, again, begin
from tests.conftest import PATIENCE_SECONDS, Travel, use_store
from tests.fakes.store import Proxy, shifted

pytestmark = pytest.mark.django_db


@pytest.fixture(params=("single", "sentinel", "cluster"))
def _shape(request: pytest.FixtureRequest, shapes: Shapes, settings: Settings) -> None:
    """An empty store of each shape that production has."""
    shape = shapes.get(request.param)
    use_store(settings, shape.address, PATIENCE_SECONDS)
    shape.empty()


def read_together(*keys: str | None) -> list[SessionStore]:
    together = Together()
    return [together.session(key) for key in keys]


def key_of(session: SessionStore) -> str:
    assert session.session_key
    return session.session_key


@pytest.mark.usefixtures("_shape")
def test_each_is_the_one_of_its_key() -> None:
    first, second, ended = begin("u-1"), begin("u-2"), begin("u-3")
    live.end([str(ended.session_id)], by="a test", reason="")
    keys = [key_of(each) for each in (first, ended, second, first)]
    found = read_together(None, "no key", *keys, "z" * 32)
    ids = [first.session_id, None, second.session_id, first.session_id]
    assert [each.session_id for each in found] == [None, None, *ids, None]
    assert found[4]["profile"] == second["profile"]


def test_they_are_asked_about_in_one_round_trip(proxy: Proxy) -> None:
    keys = [key_of(begin(f"u-{number}")) for number in range(20)]
    # The first question of a process raises the fence.
    assert again(begin()).record
    proxy.heard.clear()
    assert all(each.record for each in read_together(*keys))
    assert proxy.heard.count(b"ECHO") == 1
    assert proxy.heard.count(b"PEXPIRETIME") == 20


@pytest.mark.usefixtures("store")
def test_what_is_ended_before_the_first_is_wanted_is_ended() -> None:
    first, second = begin("u-1"), begin("u-2")
    found = read_together(key_of(first), key_of(second))
    live.end([str(second.session_id)], by="a test", reason="")
    assert [each.session_id for each in found] == [first.session_id, None]


@pytest.mark.usefixtures("store")
def test_a_use_is_noted_as_ever(travel: Travel) -> None:
    session = begin()
    before = again(session).last_used
    travel.shift(TOUCH_SECONDS + 1)
    (found,) = read_together(key_of(session))
    found.open()
    assert found.last_used > before


@pytest.mark.parametrize("fault", [b"-ERR no\r\n", b"$2\r\nOK\r\n", b"?\r\n"])
def test_an_outage_is_met_once_and_is_everybody_s(proxy: Proxy, fault: bytes) -> None:
    keys = [key_of(begin(f"u-{number}")) for number in range(3)]
    first, *others = read_together(*keys)
    proxy.breaks(fault)
    with pytest.raises(SessionStoreError):
        first.open()
    proxy.heals()
    proxy.heard.clear()
    for each in others:
        with pytest.raises(SessionStoreError):
            each.open()
    assert proxy.heard == []


def test_answers_to_another_question_are_nobody_s(proxy: Proxy) -> None:
    keys = [key_of(begin(f"u-{number}")) for number in range(3)]
    proxy.breaks(shifted)
    for each in read_together(*keys):
        with pytest.raises(SessionStoreError):
            each.open()
