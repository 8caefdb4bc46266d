from __future__ import annotations

from typing import Any

import pytest
import redis

from accounts import keys
from accounts.sessions import amend, live
from tests.accounts.sessions.conftest import again, begin

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]


def marked(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "marked": True}


def test_live_session_is_amended() -> None:
    session = begin()
    assert amend.amend(str(session.session_id), marked)
    assert again(session).get("marked") is True


def test_session_that_was_cut_off_is_neither_read_nor_amended(
    store: redis.Redis,
) -> None:
    """Its value is there until it is cleared up; a renewal must not find it."""
    session = begin()
    session_id = str(session.session_id)
    live.end_everyone(by="desk")
    before = store.get(keys.value(session_id))
    assert before is not None
    assert amend.read(session_id) is None
    assert amend.amend(session_id, marked) is None
    assert store.get(keys.value(session_id)) == before


def test_session_without_an_expiry_is_neither_read_nor_amended(
    store: redis.Redis,
) -> None:
    session_id = str(begin().session_id)
    store.persist(keys.value(session_id))
    assert amend.read(session_id) is None
    assert amend.amend(session_id, marked) is None


def test_turn_is_not_taken_from_who_has_it(store: redis.Redis) -> None:
    session_id = str(begin().session_id)
    with amend.turn(session_id, 60) as first:
        with amend.turn(session_id, 60) as second:
            assert (first, second) == (True, False)
        # Leaving without having had it gives nothing away.
        assert store.exists(keys.turn(session_id))
    assert not store.exists(keys.turn(session_id))


def test_turn_that_ran_out_is_not_taken_from_the_next_one(store: redis.Redis) -> None:
    session_id = str(begin().session_id)
    with amend.turn(session_id, 60):
        store.set(keys.turn(session_id), b"of-another-process")
    assert store.get(keys.turn(session_id)) == b"of-another-process"
