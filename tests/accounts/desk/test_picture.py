from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts import figures
from accounts.audit import Event, record
from accounts.models import LiveSample
from accounts.templatetags import charts
from tests.accounts.desk.conftest import CHROME, IPHONE, LIST, opened

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

PICTURE = f"{LIST}picture/"


def ago(**units: int) -> object:
    return timezone.now() - timedelta(**units)


def test_picture_shows_charts_and_the_numbers_beside_them(desk: Client) -> None:
    opened()
    record(Event.SIGNED_IN, address="10.1.2.3", details={"agent": CHROME})
    page = desk.get(PICTURE).content.decode()
    assert page.count('<svg class="chart"') == 2
    assert page.count("<table") >= 4
    assert "Chrome 156, Windows 10" in page
    assert "10.1.2.3" in page
    assert "<script>" not in page
    assert "style=" not in page.partition('id="content-main"')[2]


def test_sign_ins_are_counted_by_their_hour() -> None:
    now = timezone.now()
    for hours, event in ((0, Event.SIGNED_IN), (2, Event.SIGN_IN_REFUSED)):
        record(event, at=now - timedelta(hours=hours))
    record(Event.SIGNED_IN, at=now - timedelta(days=3))
    hours = figures.sign_ins_by_hour(now - timedelta(hours=24))
    assert len(hours) in {25, 26}
    assert [hour.done for hour in hours][-1] == 1
    assert [hour.refused for hour in hours][-3] == 1
    assert sum(hour.done + hour.refused for hour in hours) == 2


def test_ends_are_counted_by_kind() -> None:
    for event in (Event.KILLED, Event.KILLED, Event.SIGNED_OUT, Event.SIGNED_IN):
        record(event)
    shares = figures.ends_by_kind(timezone.now() - timedelta(hours=1))
    assert [(share.words, share.number) for share in shares] == [
        ("Ended by a security admin", 2),
        ("Signed out", 1),
    ]


def test_devices_are_counted_in_words() -> None:
    for agent in (CHROME, CHROME, IPHONE, ""):
        record(Event.SIGNED_IN, details={"agent": agent})
    shares = figures.top_devices(timezone.now() - timedelta(hours=1))
    assert [share.number for share in shares] == [2, 1]
    assert shares[0].words == "Chrome 156, Windows 10"


def test_live_number_is_noted_once_in_a_while_and_forgotten() -> None:
    LiveSample.objects.create(
        at=timezone.now() - figures.SAMPLES_KEPT - timedelta(days=1), live=7
    )
    opened()
    assert figures.note_live() == 1
    opened("u-3")
    assert figures.note_live() == 2
    assert [sample.live for sample in LiveSample.objects.all()] == [1]


@pytest.mark.parametrize("query", ["?hours=168", "?hours=nonsense", ""])
def test_periods(desk: Client, query: str) -> None:
    assert desk.get(PICTURE + query).status_code == 200


def test_charts_of_nothing_are_charts() -> None:
    now = timezone.now()
    assert "<svg" in charts.bars_by_hour([], "title")
    assert "<svg" in charts.line_over_time([(now, 0)], "title", [])
    assert "<svg" in charts.line_over_time([], "title", [])
    assert "<svg" in charts.bar(0, 0)


def test_one_sample_draws_no_day() -> None:
    now = timezone.now()
    hours = figures.sign_ins_by_hour(now - timedelta(hours=24))
    points = [(now - timedelta(minutes=5), 7), (now, 7)]
    chart = charts.line_over_time(points, "title", hours)
    (path,) = re.findall(r'points="([^"]*)"', chart)
    places = [float(pair.split(",")[0]) for pair in path.split()]
    assert places[-1] - places[0] < charts.INNER_WIDTH / 100
    # At the end of the day that the axis shows, which is that of the bars.
    assert places[0] > charts.LEFT + charts.INNER_WIDTH * 0.9
    bars = charts.bars_by_hour(hours, "title")
    names = re.compile(r'<text class="x"[^>]*>([^<]*)<')
    assert names.findall(chart) == names.findall(bars)
    assert len(names.findall(chart)) > 2


def test_titles_are_escaped() -> None:
    assert "<b>" not in charts.bars_by_hour([], '"><b>')


@pytest.mark.parametrize(
    ("number", "top"),
    [(0, 2), (1, 2), (3, 4), (7, 8), (11, 20), (99, 100)],
)
def test_axis_ends_on_a_round_number(number: int, top: int) -> None:
    assert charts._round_up(number) == top
