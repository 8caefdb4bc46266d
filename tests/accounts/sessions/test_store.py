"""What our session engine promises beyond Django's contract, on a real Valkey."""

from __future__ import annotations

import json
import pickle

import pytest
import redis
from django.contrib.sessions.backends.base import CreateError, UpdateError
from pytest_django.fixtures import Settings

from accounts import keys
from accounts.sessions import clock, index, live
from accounts.sessions.errors import StoreUnavailable
from accounts.sessions.store import TOUCH_SECONDS, SessionStore
from tests.accounts.sessions.conftest import PROFILE, again, begin, is_live
from tests.conftest import Travel, use_store

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]


@pytest.mark.parametrize(
    "key",
    ["", "short", "1" * 31, "1" * 33, "A" * 32, "*" * 32, "a" * 31 + "\n", "a" * 8192],
)
def test_malformed_key_never_reaches_the_store(key: str, store: redis.Redis) -> None:
    before = store.info("commandstats")
    session = SessionStore(key)
    assert session.record is None
    assert session.session_key is None
    after = store.info("commandstats")
    before.pop("cmdstat_info", None), after.pop("cmdstat_info", None)
    assert after == before


def test_contents_must_be_json() -> None:
    session = SessionStore()
    session["x"] = object()
    with pytest.raises(TypeError):
        session.save()


# What is written ---------------------------------------------------------------


def test_dump_holds_no_key_and_no_name(store: redis.Redis) -> None:
    session = begin(sid="provider-sid")
    dump = b"".join(
        name + (store.dump(name) or b"") for name in store.scan_iter(count=1000)
    )
    assert dump
    secrets = (session.session_key, "haneul", "김하늘", "example.com", "provider-sid")
    for secret in secrets:
        assert str(secret).encode() not in dump


def test_session_id_is_useless_as_a_cookie() -> None:
    session = begin()
    assert not keys.is_session_key(session.session_id)
    assert SessionStore(session.session_id).record is None


def test_planted_pickle_is_refused_and_not_run(store: redis.Redis) -> None:
    session = begin()

    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (pytest.fail, ("a planted pickle was executed",))

    store.set(keys.value(session.session_id or ""), pickle.dumps(Bomb()), keepttl=True)
    assert not is_live(session)


@pytest.mark.parametrize("value", [b"", b"{}", b"\x01", b"\x01" * 40, b"x" * 100_000])
def test_corrupt_value_is_no_session(value: bytes, store: redis.Redis) -> None:
    session = begin()
    store.set(keys.value(session.session_id or ""), value, keepttl=True)
    assert not is_live(session)


def test_wrong_type_under_the_name_is_an_outage_not_a_session(
    store: redis.Redis,
) -> None:
    session = begin()
    name = keys.value(session.session_id or "")
    store.delete(name)
    store.lpush(name, "x")
    with pytest.raises(StoreUnavailable):
        again(session).load()


def test_value_of_another_session_is_refused(store: redis.Redis) -> None:
    mine, theirs = begin("u-1"), begin("u-2")
    stolen = store.get(keys.value(theirs.session_id or ""))
    store.set(keys.value(mine.session_id or ""), stolen, keepttl=True)
    assert not is_live(mine)


def test_value_without_expiry_was_planted(store: redis.Redis) -> None:
    session = begin()
    store.persist(keys.value(session.session_id or ""))
    assert not is_live(session)


def test_value_with_a_lengthened_expiry_was_planted(store: redis.Redis) -> None:
    session = begin()
    store.expire(keys.value(session.session_id or ""), 7 * 3600)
    assert not is_live(session)


def test_secret_rotation_signs_nobody_out(settings: Settings) -> None:
    session = begin()
    old_id = session.session_id
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another secret " * 4
    reopened = again(session)
    assert reopened["profile"]["sub"] == "u-1001"
    assert reopened.session_id == old_id
    reopened["seen"] = True
    reopened.save()
    assert again(session)["seen"]
    assert [s.id for s in live.of_person(PROFILE["issuer"], "u-1001")] == [old_id]


def test_secret_rotation_without_fallback_ends_everything(
    settings: Settings,
) -> None:
    session = begin()
    settings.SECRET_KEY = "another secret " * 4
    assert not is_live(session)


# Limits --------------------------------------------------------------------------


def test_idle_limit_ends_an_unused_session(travel: Travel, settings: Settings) -> None:
    session = begin()
    travel.shift(settings.SESSION_IDLE_SECONDS + 1)
    assert not is_live(session)


def test_use_moves_the_idle_limit(travel: Travel, settings: Settings) -> None:
    session = begin()
    for _ in range(3):
        travel.shift(settings.SESSION_IDLE_SECONDS - 5)
        assert is_live(session)


def test_absolute_limit_ends_a_busy_session(travel: Travel, settings: Settings) -> None:
    session = begin()
    step = settings.SESSION_IDLE_SECONDS - 5
    for _ in range(settings.SESSION_ABSOLUTE_SECONDS // step):
        travel.shift(step)
        assert is_live(session)
    travel.shift(settings.SESSION_ABSOLUTE_SECONDS % step + 1)
    assert not is_live(session)


def test_saving_does_not_move_the_absolute_limit(
    travel: Travel,
) -> None:
    session = begin()
    ends = session.record.ends if session.record else 0
    travel.shift(600)
    reopened = again(session)
    reopened["x"] = 1
    reopened.save()
    assert again(session).record.ends == ends  # type: ignore[union-attr]


def test_store_expiry_is_within_both_limits(
    store: redis.Redis, travel: Travel, settings: Settings
) -> None:
    session = begin()
    name = keys.value(session.session_id or "")
    assert store.ttl(name) <= settings.SESSION_IDLE_SECONDS
    ends = session.record.ends if session.record else 0
    for _ in range(16):
        travel.shift(settings.SESSION_IDLE_SECONDS - 60)
        again(session).load()
        assert store.pexpiretime(name) <= clock.milliseconds(ends)


def test_clock_set_back_does_not_lengthen_a_life(
    travel: Travel, settings: Settings
) -> None:
    session = begin()
    before = clock.now()
    travel.shift(-3600)
    assert clock.now() >= before
    travel.shift(3600 + settings.SESSION_IDLE_SECONDS + 1)
    assert not is_live(session)


def test_touch_happens_at_most_once_a_minute_and_leaves_the_value(
    store: redis.Redis, travel: Travel
) -> None:
    session = begin()
    name = keys.value(session.session_id or "")
    value, expiry = store.get(name), store.pexpiretime(name)
    travel.shift(TOUCH_SECONDS - 5)
    again(session).load()
    assert store.pexpiretime(name) == expiry
    travel.shift(10)
    again(session).load()
    assert store.pexpiretime(name) > expiry
    assert store.get(name) == value


def test_last_use_is_known_also_near_the_absolute_end(
    travel: Travel, settings: Settings
) -> None:
    session = begin()
    step = settings.SESSION_IDLE_SECONDS - 5
    for _ in range(settings.SESSION_ABSOLUTE_SECONDS // step):
        travel.shift(step)
        again(session).load()
        used = again(session)
        used.load()
        assert abs(used.last_used - clock.now()) <= TOUCH_SECONDS + 1


def test_begun_sign_in_lives_ten_minutes_and_is_not_listed(
    store: redis.Redis,
) -> None:
    session = SessionStore()
    session["state"] = "x"
    session.save()
    assert 590 <= store.ttl(keys.value(session.session_id or "")) <= 600
    assert live.count() == 0
    assert live.page() == []


# Beginning, rotating, merging ---------------------------------------------------------


def test_begin_changes_the_key_and_drops_what_was_planted() -> None:
    anonymous = SessionStore()
    anonymous["planted"] = True
    anonymous.save()
    old_key = anonymous.session_key or ""
    anonymous.begin(
        {"profile": PROFILE},
        person=keys.person("https://idp.example", "x"),
        origin=None,
    )
    anonymous.save()
    assert anonymous.session_key != old_key
    assert not anonymous.exists(old_key)
    assert set(again(anonymous).keys()) == {"profile"}


def test_rotation_keeps_the_limits_and_the_listing() -> None:
    session = begin()
    ends, old_id = session.record.ends, session.session_id  # type: ignore[union-attr]
    session.cycle_key()
    assert session.record.ends == ends  # type: ignore[union-attr]
    assert session.session_id != old_id
    assert [s.id for s in live.page()] == [session.session_id]


def test_rotation_loses_the_race_against_a_kill() -> None:
    session = begin()
    rotating = again(session)
    assert rotating.record
    live.end([session.session_id or ""], by="admin")
    with pytest.raises(UpdateError):
        rotating.cycle_key()
    assert live.count() == 0


def test_two_writers_do_not_undo_each_other() -> None:
    session = begin()
    one, two = again(session), again(session)
    assert one.record
    assert two.record
    one["profile"] = {**PROFILE, "groups": []}
    one.save()
    two["basket"] = 1
    two.save()
    merged = again(session)
    assert merged["profile"]["groups"] == []
    assert merged["basket"] == 1


def test_removal_survives_a_concurrent_write() -> None:
    session = begin()
    session["secret"] = "x"
    session.save()
    one, two = again(session), again(session)
    assert one.record
    assert two.record
    del one["secret"]
    one.save()
    two["basket"] = 1
    two.save()
    assert "secret" not in again(session)


def test_saving_twice_in_one_request_keeps_both_changes() -> None:
    session = begin()
    session["a"] = 1
    session.save()
    session["b"] = 2
    session.save()
    assert (again(session)["a"], again(session)["b"]) == (1, 2)


# Dead or taken ------------------------------------------------------------------------


def test_session_that_somebody_left_meanwhile_does_not_move_to_a_new_key() -> None:
    """Signed out in another tab: that leaves no mark as a kill does."""
    session = begin()
    stale = again(session)
    stale.open()
    again(session).flush()
    with pytest.raises(UpdateError):
        stale.cycle_key()
    assert live.count() == 0


def test_key_that_is_taken_is_not_written_over() -> None:
    session = begin()
    session["kept"] = True
    session.save()
    other = SessionStore()
    other._session_key = session.session_key
    with pytest.raises(CreateError):
        other.save(must_create=True)
    assert again(session).get("kept") is True


def test_session_that_is_none_is_neither_saved_nor_renewed() -> None:
    with pytest.raises(UpdateError):
        SessionStore("a" * 32).save()
    for nobody in (SessionStore(), SessionStore("a" * 32)):
        with pytest.raises(UpdateError):
            nobody.renew({"sign_in": {}}, None)
    assert live.count() == 0


def test_value_planted_between_reading_and_saving_ends_the_session(
    store: redis.Redis,
) -> None:
    session = again(begin())
    session["x"] = 1
    store.set(keys.value(str(session.session_id)), b"planted", keepttl=True)
    with pytest.raises(UpdateError):
        session.save()


@pytest.mark.parametrize("key", ["", "a" * 31, "A" * 32, "../" * 8, None])
def test_key_of_another_form_is_looked_for_nowhere(
    settings: Settings, key: str | None
) -> None:
    """Each of the two looks at the form: what a cookie says, and what code says."""
    use_store(settings, "redis://127.0.0.1:1/0")
    assert SessionStore(key).session_key is None
    assert SessionStore().exists(key or "") is False


def test_use_noted_late_does_not_shorten_the_life(
    store: redis.Redis, travel: Travel
) -> None:
    """Of two processes, the one with the earlier use may be the later to write."""
    session = begin()
    name = keys.value(str(session.session_id))
    late = store.pexpiretime(name) + 300_000
    store.pexpireat(name, late)
    travel.shift(TOUCH_SECONDS + 1)
    found = again(session)
    found._last_used = 0
    found._record = session.record
    found._touch()
    assert store.pexpiretime(name) == late


# Outage -------------------------------------------------------------------------------


def test_unreachable_store_raises_and_is_not_an_empty_session(
    settings: Settings,
) -> None:
    session = begin()
    use_store(settings, "redis://127.0.0.1:1/0")
    with pytest.raises(StoreUnavailable) as caught:
        again(session).load()
    assert caught.value.cause == "unreachable"
    with pytest.raises(StoreUnavailable):
        begin()
    with pytest.raises(StoreUnavailable):
        session.delete()


def test_clear_expired_prunes_the_index(
    travel: Travel, store: redis.Redis, settings: Settings
) -> None:
    begin()
    travel.shift(settings.SESSION_IDLE_SECONDS + 1)
    SessionStore.clear_expired()
    assert store.zcard(keys.BY_USE) == store.zcard(keys.BY_END) == 0


def test_index_is_written_before_the_value(
    store: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    enter = index.enter

    def watched(client: redis.Redis, record: object, now: float) -> None:
        enter(client, record, now)  # type: ignore[arg-type]
        seen.append(store.exists(keys.value(record.id)))  # type: ignore[attr-defined]

    monkeypatch.setattr(index, "enter", watched)
    begin()
    assert seen == [0]


def test_stored_text_is_json_inside_the_seal() -> None:
    session = begin()
    record = session.record
    assert record is not None
    assert json.loads(json.dumps(record.data)) == record.data
