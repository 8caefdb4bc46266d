"""One contract, in the shape of Django's own session tests, on every kind of store.

It runs on our engine with one server, a Sentinel set and a Cluster, and on Django's
stock cache engine, where what it does not keep is marked: our reasons for existing.
"""

from __future__ import annotations

import pytest
from django.contrib.sessions.backends.base import SessionBase, UpdateError
from django.contrib.sessions.backends.cache import SessionStore as StockStore
from pytest_django.fixtures import Settings

from accounts.sessions.connections import client
from accounts.sessions.store import SessionStore
from tests.accounts.sessions.conftest import Shapes
from tests.conftest import PATIENCE_SECONDS, Travel, use_store

pytestmark = pytest.mark.django_db

NOWHERE = "redis://127.0.0.1:1/0"
KINDS = ("single", "sentinel", "cluster", "stock")
STOCK_DIFFERS = {
    "test_save_after_a_kill_in_between_does_not_revive": "looks, then writes",
    "test_two_writers_do_not_undo_each_other": "the last whole write wins",
    "test_unreachable_store_is_no_empty_session": "swallows the error",
    "test_idle_limit_counts_from_the_last_use": "counts from the last save",
    "test_absolute_limit_ends_a_busy_session": "has none",
    "test_name_in_the_store_is_not_the_key": "uses the key as the name",
    "test_value_in_the_store_is_unreadable": "stores it in clear",
    "test_contents_are_json": "leaves it to the cache's serializer",
}


@pytest.fixture(params=KINDS)
def engine(
    request: pytest.FixtureRequest, shapes: Shapes, settings: Settings
) -> type[SessionBase]:
    """A session engine class with an empty store behind it."""
    is_stock = request.param == "stock"
    shape = shapes.get("single" if is_stock else request.param)
    use_store(settings, shape.address, PATIENCE_SECONDS)
    shape.empty()
    if not is_stock:
        return SessionStore
    settings.SESSION_CACHE_ALIAS = "sessions"
    if why := STOCK_DIFFERS.get(request.node.originalname):
        request.applymarker(pytest.mark.xfail(reason=why, strict=True))
    return StockStore


def saved(engine: type[SessionBase], **contents: object) -> SessionBase:
    session = engine()
    session.update(contents)
    session.save()
    return session


def reopened(session: SessionBase) -> SessionBase:
    return type(session)(session.session_key)


# What Django expects of an engine ---------------------------------------------


def test_new_session_is_empty_and_unmodified(engine: type[SessionBase]) -> None:
    session = engine()
    assert session.is_empty()
    assert not session.modified


def test_get_of_missing_name_gives_the_default(engine: type[SessionBase]) -> None:
    session = engine()
    assert session.get("some key", "default") == "default"
    assert session.accessed
    assert not session.modified


def test_set_and_get(engine: type[SessionBase]) -> None:
    session = engine()
    session["some key"] = "exists"
    assert session.modified
    assert session["some key"] == "exists"


def test_pop_takes_it_out(engine: type[SessionBase]) -> None:
    session = engine()
    session["some key"] = "exists"
    session.modified = False
    assert session.pop("some key") == "exists"
    assert session.modified
    assert session.get("some key") is None


def test_pop_of_missing_name_leaves_it_unmodified(engine: type[SessionBase]) -> None:
    session = engine()
    assert session.pop("missing", "default") == "default"
    assert not session.modified


def test_setdefault_update_items_clear(engine: type[SessionBase]) -> None:
    session = engine()
    assert session.setdefault("a", 1) == 1
    session.update({"b": 2})
    assert dict(session.items()) == {"a": 1, "b": 2}
    session.clear()
    assert dict(session.items()) == {}
    assert session.modified


def test_save_makes_it_exist(engine: type[SessionBase]) -> None:
    session = saved(engine, a="b")
    assert session.session_key
    assert session.exists(session.session_key)
    assert reopened(session)["a"] == "b"


def test_delete_makes_it_not_exist(engine: type[SessionBase]) -> None:
    session = saved(engine)
    key = str(session.session_key)
    session.delete(key)
    assert not session.exists(key)


def test_delete_of_what_is_gone_is_no_error(engine: type[SessionBase]) -> None:
    session = saved(engine)
    session.delete()
    session.delete()


def test_flush_ends_it_and_forgets_the_key(engine: type[SessionBase]) -> None:
    session = saved(engine, a="b")
    key = str(session.session_key)
    session.flush()
    assert not session.exists(key)
    assert session.session_key is None
    assert session.modified


def test_cycle_keeps_the_contents_under_another_key(engine: type[SessionBase]) -> None:
    session = saved(engine, a="c", b="d")
    before, contents = str(session.session_key), list(session.items())
    session.cycle_key()
    assert not session.exists(before)
    assert session.session_key != before
    assert list(session.items()) == contents
    session.save()
    assert list(reopened(session).items()) == contents


def test_cycle_without_having_loaded_keeps_the_contents(
    engine: type[SessionBase],
) -> None:
    session = reopened(saved(engine, a="c"))
    session.cycle_key()
    assert session["a"] == "c"


def test_unknown_key_is_never_adopted(engine: type[SessionBase]) -> None:
    invented = "1" * 32
    session = engine(invented)
    session.get("a")
    session["a"] = 1
    session.save()
    assert session.session_key != invented
    assert not session.exists(invented)


def test_save_of_what_was_deleted_raises_and_does_not_revive(
    engine: type[SessionBase],
) -> None:
    first = saved(engine, a="b")
    key = str(first.session_key)
    second = reopened(first)
    second["late"] = True
    first.flush()
    with pytest.raises(UpdateError):
        second.save()
    assert not second.exists(key)


# What we expect of one ---------------------------------------------------------------


def test_save_after_a_kill_in_between_does_not_revive(
    engine: type[SessionBase], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = saved(engine, a="b")
    key = str(first.session_key)
    second = reopened(first)
    second["late"] = True
    encode = second._get_session  # type: ignore[attr-defined]

    def killed_here(no_load: bool = False) -> object:
        contents = encode(no_load)
        first.delete(key)
        return contents

    monkeypatch.setattr(second, "_get_session", killed_here)
    with pytest.raises(UpdateError):
        second.save()
    assert not first.exists(key)


def test_two_writers_do_not_undo_each_other(engine: type[SessionBase]) -> None:
    session = saved(engine, role="admin")
    one, two = reopened(session), reopened(session)
    assert one["role"] == two["role"] == "admin"
    one["role"] = "none"
    one.save()
    two["basket"] = 1
    two.save()
    assert reopened(session)["role"] == "none"
    assert reopened(session)["basket"] == 1


def test_unreachable_store_is_no_empty_session(
    engine: type[SessionBase], settings: Settings
) -> None:
    session = saved(engine, a="b")
    use_store(settings, NOWHERE)
    with pytest.raises(Exception, match=r"unreachable|Connection"):
        reopened(session).load()


def test_idle_limit_counts_from_the_last_use(
    engine: type[SessionBase], settings: Settings, travel: Travel
) -> None:
    settings.SESSION_SIGN_IN_SECONDS = settings.SESSION_COOKIE_AGE = 600
    session = saved(engine, a="b")
    travel.shift(601)
    assert reopened(session).load() == {}


def test_absolute_limit_ends_a_busy_session(
    engine: type[SessionBase], settings: Settings, travel: Travel
) -> None:
    settings.SESSION_SIGN_IN_SECONDS = settings.SESSION_COOKIE_AGE = 600
    session = saved(engine, a="b")
    for _ in range(3):
        travel.shift(240)
        busy = reopened(session)
        if busy.load():
            busy["again"] = True
            busy.save()
    assert reopened(session).load() == {}


def test_name_in_the_store_is_not_the_key(engine: type[SessionBase]) -> None:
    session = saved(engine, a="b")
    names = b" ".join(client().scan_iter())
    assert str(session.session_key).encode() not in names


def test_value_in_the_store_is_unreadable(engine: type[SessionBase]) -> None:
    saved(engine, name="Haneul Kim")
    values = b" ".join(client().get(name) for name in client().scan_iter())
    assert values
    assert b"Haneul" not in values


def test_contents_are_json(engine: type[SessionBase], settings: Settings) -> None:
    cache = settings.CACHES["sessions"]
    pickling = "django_redis.serializers.pickle.PickleSerializer"
    options = {**cache["OPTIONS"], "SERIALIZER": pickling}
    settings.CACHES = {**settings.CACHES, "sessions": {**cache, "OPTIONS": options}}
    session = engine()
    session["x"] = {1, 2, 3}
    with pytest.raises(TypeError):
        session.save()
