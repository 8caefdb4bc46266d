"""Filters find exactly what opening every session would, on every kind of store."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any

import hypothesis.strategies as st
import pytest
import redis
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from pytest_django.fixtures import Settings

from accounts import audit, keys
from accounts.models import AuditEntry, Revocation
from accounts.sessions import census, clock, facts, index, live
from accounts.sessions.connections import answering, client
from accounts.sessions.errors import StoreUnavailable
from accounts.sessions.live import LiveSession, Order, Selection
from accounts.sessions.store import SessionStore
from tests.accounts.sessions.conftest import (
    ISSUER,
    PROFILE,
    Shapes,
    again,
    begin,
    is_live,
)
from tests.conftest import PATIENCE_SECONDS, Travel, use_store

pytestmark = pytest.mark.django_db

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 "
    "(KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
)
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0"
GROUPS = ("staff", "support", "지원", "sup")
DEPARTMENTS = ("Support", "Sales", "")
ADDRESSES = (
    "10.0.0.1",
    "10.0.1.7",
    "192.0.2.200",
    "2001:db8::1",
    "",
    "::ffff:10.0.0.9",
)
NETWORKS = ("10.0.0.0/8", "10.0.0.0/23", "10.0.0.1/32", "0.0.0.0/0", "2001:db8::/31")
AGENTS = (CHROME, FIREFOX, "", "curl/8.5.0")
PROVIDERS = ("oidc", "second")
PEOPLE = ("u-1", "u-2", "u-3")
NOW = datetime.now(UTC)

selections = st.builds(
    Selection,
    person=st.none()
    | st.lists(st.tuples(st.just(ISSUER), st.sampled_from((*PEOPLE, "nobody")))).map(
        tuple
    ),
    group=st.sampled_from(("", "nobody", *GROUPS)),
    department=st.sampled_from(("", "Sale", *DEPARTMENTS)),
    network=st.none() | st.sampled_from(NETWORKS).map(ip_network),
    agent=st.sampled_from(("", "chrome", "WINDOWS chrom", "linux", "142", "nothing")),
    provider=st.sampled_from(("", "third", *PROVIDERS)),
    idle_for=st.none() | st.sampled_from((0, 60, 600)).map(lambda s: timedelta(0, s)),
    started_before=st.none()
    | st.sampled_from((-900, -60, 60)).map(lambda s: NOW + timedelta(0, s)),
    started_after=st.none()
    | st.sampled_from((-900, -60, 60)).map(lambda s: NOW + timedelta(0, s)),
)


def enter(
    sub: str = "u-1",
    sid: str | None = None,
    address: str = "10.0.0.1",
    agent: str = CHROME,
    provider: str = "oidc",
    **profile: Any,
) -> SessionStore:
    """A live session with these traits."""
    session = SessionStore()
    sign_in = {"provider": provider, "address": address, "agent": agent, "sid": sid}
    session.begin(
        {"profile": {**PROFILE, "sub": sub, **profile}, "sign_in": sign_in},
        person=keys.person(ISSUER, sub),
        origin=keys.origin(ISSUER, sid) if sid else None,
    )
    session.save()
    return session


def crowd(size: int, travel: Travel, seed: int = 1) -> None:
    """People of all kinds, begun over half an hour, some of them used since."""
    dice = random.Random(seed)  # noqa: S311 - a test's dice
    # Not from when this file was read: the store goes by the time it is, and by the end
    # of a long run would have let the first of them go.
    travel.move_to(datetime.now(UTC) - timedelta(minutes=25))
    clock.reset()
    for number in range(size):
        groups = dice.sample(GROUPS, dice.randint(0, len(GROUPS)))
        enter(
            dice.choice(PEOPLE),
            sid=f"s-{number}" if dice.random() < 0.5 else None,
            address=dice.choice(ADDRESSES),
            agent=dice.choice(AGENTS),
            provider=dice.choice(PROVIDERS),
            department=dice.choice(DEPARTMENTS),
            groups=groups,
        )
        travel.shift(25 * 60 / size)


def everyone() -> list[LiveSession]:
    return live.page(size=10_000)


def ids(sessions: list[LiveSession]) -> list[str]:
    return [session.id for session in sessions]


@pytest.fixture(params=("single", "sentinel", "cluster"))
def _shape(request: pytest.FixtureRequest, shapes: Shapes, settings: Settings) -> None:
    """An empty store of each shape that production has."""
    shape = shapes.get(request.param)
    use_store(settings, shape.address, PATIENCE_SECONDS)
    shape.empty()


@pytest.mark.usefixtures("store")
def test_select_finds_what_opening_every_session_finds(travel: Travel) -> None:
    crowd(80, travel)

    @hypothesis_settings(max_examples=300, suppress_health_check=list(HealthCheck))
    @given(selection=selections, order=st.sampled_from(Order), down=st.booleans())
    def compare(selection: Selection, order: Order, down: bool) -> None:
        with_all = live.page(order, size=10_000, descending=down)
        expected = [s.id for s in with_all if selection.matches(s)]
        found = live.select(selection, order, size=10_000, descending=down)
        assert found.total == len(expected)
        assert ids(found.sessions) == expected

    compare()


@pytest.mark.usefixtures("store")
def test_pages_of_a_selection_are_its_parts(travel: Travel) -> None:
    crowd(60, travel)
    selection = Selection(provider="oidc")
    whole = live.select(selection, size=1000)
    parts = [live.select(selection, offset=at, size=7) for at in range(0, 60, 7)]
    assert {part.total for part in parts} == {whole.total}
    assert [s for part in parts for s in ids(part.sessions)] == ids(whole.sessions)


@pytest.mark.usefixtures("_shape")
def test_selected_are_ended_exactly_on_every_kind_of_store(travel: Travel) -> None:
    crowd(60, travel)
    selection = Selection(agent="chrome", provider="oidc")
    meant = {s.id for s in everyone() if selection.matches(s)}
    rest = {s.id for s in everyone()} - meant
    assert live.select(selection).total == len(meant)
    outcome = live.end_selected(selection, by="desk", reason="theft")
    assert set(outcome.ended) == meant
    assert {s.id for s in everyone()} == rest
    assert live.select(selection) == live.Found(0, [])
    assert census.check() == census.Census(live=len(rest))


@pytest.mark.usefixtures("_shape")
def test_changes_are_noted_and_the_expired_purged_on_every_kind_of_store(
    travel: Travel, settings: Settings
) -> None:
    session = enter("u-1", sid="s-1")
    session["profile"] = {**session["profile"], "department": "Elsewhere"}
    session.save()
    assert live.select(Selection(department="Elsewhere")).total == 1
    travel.shift(settings.SESSION_IDLE_SECONDS + 1)
    assert live.purge() == 1
    assert live.select(Selection()) == live.Found(0, [])


@pytest.mark.usefixtures("_shape")
def test_cut_off_is_cleared_up_without_a_trace_on_every_kind_of_store(
    travel: Travel,
) -> None:
    crowd(40, travel)
    live.end_everyone(by="desk")
    travel.shift(1)
    after = enter("u-9", sid="s-after")
    assert live.count() == 1
    assert live.select(Selection(group="staff")).total == 1
    for order in Order:
        assert ids(live.select(Selection(), order, 0, 5, False).sessions) == [
            after.session_id
        ]
    assert live.clear_up() == 40
    assert ids(everyone()) == [after.session_id]
    assert census.check() == census.Census(live=1)


@pytest.mark.usefixtures("store")
def test_end_selected_writes_a_ledger_row_and_an_audit_entry_for_each() -> None:
    doomed = [enter(f"u-{number}", groups=["leavers"]) for number in range(7)]
    enter("u-stays")
    live.end_selected(Selection(group="leavers"), by="desk", reason="left")
    expected = {session.record.id for session in doomed if session.record}
    assert {row.target for row in Revocation.objects.all()} == expected
    assert all(row.delivered for row in Revocation.objects.all())
    entries = AuditEntry.objects.filter(event=audit.Event.KILLED)
    assert {entry.session_id for entry in entries} == expected
    assert {(entry.actor, entry.reason) for entry in entries} == {("desk", "left")}


@pytest.mark.usefixtures("store")
def test_sign_ins_after_the_call_are_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("accounts.sessions.kill.BATCH", 2)
    doomed = [enter(f"u-{number}") for number in range(6)]
    late: list[SessionStore] = []

    def somebody_signs_in(ended: int) -> None:
        late.append(enter(f"late-{ended}"))

    outcome = live.end_selected(
        Selection(group="support"), by="desk", progress=somebody_signs_in
    )
    assert len(outcome.ended) == 6
    assert not any(is_live(session) for session in doomed)
    assert len(late) == 3
    assert all(is_live(session) for session in late)


@pytest.mark.usefixtures("store")
def test_session_that_stopped_matching_meanwhile_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = enter(groups=["leavers"])
    promoted = again(session)
    promoted["profile"] = {**PROFILE, "groups": ["staff"]}
    matching = live.search.matching

    def found_and_changed(*args: Any) -> set[str]:
        found = matching(*args)
        promoted.save()
        return found

    monkeypatch.setattr("accounts.sessions.search.matching", found_and_changed)
    outcome = live.end_selected(Selection(group="leavers"), by="desk")
    assert outcome.ended == []
    assert is_live(session)


@pytest.mark.usefixtures("store")
def test_end_selected_stops_between_batches_when_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("accounts.sessions.kill.BATCH", 2)
    for number in range(6):
        enter(f"u-{number}")
    told: list[int] = []
    outcome = live.end_selected(
        Selection(), by="desk", progress=told.append, should_stop=lambda: told == [2, 4]
    )
    assert outcome.incomplete
    assert len(outcome.ended) == 4
    assert live.count() == 2


@pytest.mark.usefixtures("store")
def test_store_lost_on_the_way_leaves_an_incomplete_outcome(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    monkeypatch.setattr("accounts.sessions.kill.BATCH", 2)
    for number in range(4):
        enter(f"u-{number}")

    def lose(ended: int) -> None:
        use_store(settings, "redis://127.0.0.1:1/0")

    outcome = live.end_selected(Selection(provider="oidc"), by="desk", progress=lose)
    assert outcome.incomplete
    assert len(outcome.ended) == 2


def test_store_away_means_nobody_can_say_who_is_meant() -> None:
    with pytest.raises(StoreUnavailable):
        live.select(Selection(group="support"))
    with pytest.raises(StoreUnavailable):
        live.end_selected(Selection(group="support"), by="desk")
    assert Revocation.objects.count() == 0


def test_filters_leave_nothing_in_clear_in_the_store(store: redis.Redis) -> None:
    enter(address="198.51.100.77", department="Secret Service", groups=["moles"])
    dump = b"".join(store.dump(name) + name for name in store.scan_iter())
    for told in (b"198.51.100", b"Secret", b"moles", b"Chrome", b"Windows", b"haneul"):
        assert told not in dump
    assert bytes([198, 51, 100, 77]) not in dump


def test_lost_word_is_opened_instead(store: redis.Redis) -> None:
    session = enter(address="192.0.2.1")
    enter(address="198.51.100.1")
    store.delete(*(keys.words(kind) for kind in facts.Kind))
    found = live.select(Selection(network=ip_network("192.0.2.0/24"), group="staff"))
    assert (found.total, ids(found.sessions)) == (1, [session.session_id])


def test_facts_that_lie_end_nobody(store: redis.Redis) -> None:
    """Whoever writes to the store can mislead a filter, and no more than that."""
    guilty, innocent = enter("u-1", groups=["leavers"]), enter("u-2")
    told = store.hget(keys.bucket(guilty.session_id or ""), member(guilty))
    store.hset(keys.bucket(innocent.session_id or ""), member(innocent), told)
    assert live.select(Selection(group="leavers")).total == 1
    live.end_selected(Selection(group="leavers"), by="desk")
    assert is_live(innocent)


def test_words_go_when_no_session_can_name_them(
    store: redis.Redis, travel: Travel, settings: Settings
) -> None:
    enter(address="192.0.2.1")
    travel.shift(settings.SESSION_ABSOLUTE_SECONDS - 60)
    enter(address="192.0.2.2")
    travel.shift(61)
    live.purge()
    (address,) = facts.dictionary(store, facts.Kind.ADDRESS).values()
    assert address == "192.0.2.2"
    assert store.zcard(keys.words_end(facts.Kind.ADDRESS)) == 1


@pytest.mark.usefixtures("store")
def test_filter_follows_what_is_written_later() -> None:
    session = again(enter(groups=["support"]))
    session["profile"] = {**PROFILE, "groups": ["sales"], "department": "Sales"}
    session.save()
    assert live.select(Selection(group="support")).total == 0
    assert live.select(Selection(group="sales", department="Sales")).total == 1
    assert census.check().strays == 0


@pytest.mark.usefixtures("store")
def test_save_that_a_kill_overtakes_brings_no_facts_back() -> None:
    session = again(enter(groups=["support"]))
    session["profile"] = {**PROFILE, "groups": ["sales"]}
    note = live.index.note
    with pytest.MonkeyPatch.context() as patch:

        def killed_first(*args: Any) -> None:
            live.end([str(args[1].id)], by="desk")
            note(*args)

        patch.setattr("accounts.sessions.index.note", killed_first)
        session.save()
    assert census.check() == census.Census()


@pytest.mark.usefixtures("store")
def test_filter_finds_sessions_of_every_accepted_secret(settings: Settings) -> None:
    old = enter("u-1", address="192.0.2.1")
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another-" + "n" * 50
    new = enter("u-1", address="192.0.2.1")
    selection = Selection(
        person=((ISSUER, "u-1"),), network=ip_network("192.0.2.0/28"), group="support"
    )
    assert live.select(selection).total == 2
    assert live.select(replace(selection, person=None)).total == 2
    assert census.check().strays == 0
    assert set(live.end_selected(selection, by="desk").ended) == {
        old.session_id,
        new.session_id,
    }


@pytest.mark.usefixtures("store")
def test_save_does_not_part_value_and_index(travel: Travel, settings: Settings) -> None:
    """Were a save to lengthen the life, the list would lose the session too early."""
    session = begin()
    travel.shift(30)
    saving = again(session)
    saving["basket"] = 1
    saving.save()
    travel.shift(settings.SESSION_IDLE_SECONDS - 29)
    assert is_live(session) == (live.count() == 1)


@pytest.mark.usefixtures("store")
def test_session_by_its_id_and_by_nothing_else() -> None:
    session = enter()
    assert live.select(Selection(session=session.session_id or "")).total == 1
    assert live.select(Selection(session=session.session_key or "")).total == 0
    assert live.select(Selection(session="f" * 24)).total == 0
    assert (
        live.select(Selection(session=session.session_id or "", group="x")).total == 0
    )


@pytest.mark.usefixtures("store")
def test_nobody_is_nobody() -> None:
    enter()
    assert live.select(Selection(person=())) == live.Found(0, [])
    assert live.end_selected(Selection(person=()), by="desk").ended == []
    assert clock.now() > 0


def member(session: SessionStore) -> bytes:
    """How the index names the session."""
    return bytes.fromhex(session.session_id or "")


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("order", list(Order))
@pytest.mark.parametrize("descending", [True, False])
def test_few_and_many_come_in_the_same_order(
    travel: Travel, order: Order, descending: bool
) -> None:
    crowd(40, travel)
    listed = [s.id for s in live.page(order, size=1000, descending=descending)]
    with answering():
        for meant in (listed[3:6], listed[5:35], listed):
            found = index.sort(client(), order, {*meant, "0" * 24}, descending)
            assert found == meant


@pytest.mark.usefixtures("store")
def test_more_than_a_store_reads_at_once_is_found_all_the_same(
    travel: Travel, monkeypatch: pytest.MonkeyPatch
) -> None:
    crowd(40, travel)
    selections = [Selection(), Selection(idle_for=timedelta(minutes=5))]
    found = [[live.select(s, o).sessions for o in Order] for s in selections]
    monkeypatch.setattr(index, "WHOLE_AT_MOST", 3)
    monkeypatch.setattr(index, "SCORES_AT_ONCE", 7)
    assert [[live.select(s, o).sessions for o in Order] for s in selections] == found
    assert 0 < len(found[1][0]) < len(found[0][0])
