"""Charts as inline SVG: no script, no style of their own, colours from desk.css.

Each says in words what it shows; the numbers themselves stand in the table beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from django import template
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timezone import localtime

from accounts.figures import HOUR, Hour

register = template.Library()

WIDTH, HEIGHT = 720, 200
LEFT, RIGHT, TOP, BOTTOM = 56, 8, 10, 24
INNER_WIDTH, INNER_HEIGHT = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
LABELS_AT_MOST = 8
DOTS_AT_MOST = 12


@register.simple_tag
def bars_by_hour(hours: Sequence[Hour], title: str) -> SafeString:
    """Two kinds on top of each other, one bar an hour."""
    highest = _round_up(max((hour.done + hour.refused for hour in hours), default=0))
    step = INNER_WIDTH / max(1, len(hours))
    bars = []
    for place, hour in enumerate(hours):
        x, width = LEFT + place * step, max(1.0, step * 0.8)
        done = INNER_HEIGHT * hour.done / highest
        refused = INNER_HEIGHT * hour.refused / highest
        ground = TOP + INNER_HEIGHT
        bars.append(("done", x, ground - done, width, done))
        bars.append(("refused", x, ground - done - refused, width, refused))
    shown = format_html_join(
        "",
        '<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>',
        ((kind, *map(_short, numbers)) for kind, *numbers in bars if numbers[-1]),
    )
    labels = [(LEFT + (n + 0.5) * step, hour.at) for n, hour in enumerate(hours)]
    return _framed(shown, title, highest, labels)


@register.simple_tag
def line_over_time(
    points: Sequence[tuple[datetime, int]], title: str, hours: Sequence[Hour]
) -> SafeString:
    """A number at moments that need not be evenly spaced, over these hours.

    The axis is that of `bars_by_hour`. Where nothing was noted nothing is drawn.
    """
    highest = _round_up(max((number for _, number in points), default=0))
    first = hours[0].at if hours else min((at for at, _ in points), default=None)
    step = INNER_WIDTH / max(1, len(hours))
    ground = TOP + INNER_HEIGHT
    places = [
        (
            _short(LEFT + step * ((moment - first) / HOUR)),
            _short(ground - INNER_HEIGHT * number / highest),
        )
        for moment, number in points
        if first is not None and moment >= first
    ]
    path = " ".join(f"{x},{y}" for x, y in places)
    shown = format_html('<polyline class="line" points="{}"/>', path)
    if len(places) <= DOTS_AT_MOST:
        # So few are hardly a line; and one, or two of the same moment, are none.
        shown += format_html_join(
            "", '<circle class="dot" cx="{}" cy="{}" r="4"/>', places
        )
    labels = [(LEFT + (n + 0.5) * step, hour.at) for n, hour in enumerate(hours)]
    return _framed(shown, title, highest, labels)


@register.simple_tag
def bar(number: int, highest: int) -> SafeString:
    """One bar, to stand in a row of a table beside its number."""
    width = 100 * number / max(1, highest)
    return format_html(
        '<svg class="share" viewBox="0 0 100 10" preserveAspectRatio="none"'
        ' aria-hidden="true" focusable="false">'
        '<rect class="done" width="{}" height="10"/></svg>',
        _short(width),
    )


def _framed(
    shown: SafeString, title: str, highest: int, labels: list[tuple[float, datetime]]
) -> SafeString:
    lines = format_html_join(
        "",
        '<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>'
        '<text class="y" x="{}" y="{}">{}</text>',
        (
            (LEFT, WIDTH - RIGHT, y, y, LEFT - 6, y + 4, number)
            for number in _ticks(highest)
            for y in [_short(TOP + INNER_HEIGHT * (1 - number / highest))]
        ),
    )
    under = format_html_join(
        "",
        '<text class="x" x="{}" y="{}">{}</text>',
        ((_short(x), HEIGHT - 6, _when(moment, labels)) for x, moment in _some(labels)),
    )
    return format_html(
        '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}"'
        ' focusable="false">{}{}{}</svg>',
        WIDTH,
        HEIGHT,
        title,
        lines,
        shown,
        under,
    )


def _short(number: float) -> float:
    """A tenth of a unit is finer than any screen."""
    return round(number, 1)


def _ticks(highest: int) -> list[int]:
    return [0, highest // 2, highest] if highest > 1 else [0, 1]


def _round_up(number: int) -> int:
    """The next number that is easy to read on an axis, and even."""
    size: int = 10 ** max(0, len(str(number)) - 1)
    for factor in (1, 2, 4, 6, 8, 10):
        if number <= factor * size:
            return max(2, factor * size) if number > 1 else 2
    return number


def _some(labels: list[tuple[float, datetime]]) -> list[tuple[float, datetime]]:
    """As many as fit side by side."""
    gap = INNER_WIDTH / LABELS_AT_MOST
    chosen: list[tuple[float, datetime]] = []
    for x, moment in labels:
        fits = LEFT + 8 <= x <= WIDTH - RIGHT - 12
        if fits and (not chosen or x - chosen[-1][0] >= gap):
            chosen.append((x, moment))
    return chosen


def _when(moment: datetime, labels: list[tuple[float, datetime]]) -> str:
    """The hour; over more than two days the day."""
    is_long = labels[-1][1] - labels[0][1] > timedelta(days=2)
    return date_format(localtime(moment), "MONTH_DAY_FORMAT" if is_long else "H:i")
