from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from accounts import figures

PERIODS = {"24": _("24 hours"), "168": _("7 days")}
# The same numbers for everybody who looks in the same half minute.
KEPT_SECONDS = 30


def show(request: HttpRequest, page: dict[str, Any]) -> HttpResponse:
    """Live sessions, sign-ins and ends over a period. Raises SessionStoreError."""
    hours = request.GET.get("hours", "24")
    if hours not in PERIODS:
        hours = "24"
    name = f"picture/{hours}/{get_language()}"
    numbers = cache.get(name)
    if numbers is None:
        numbers = _numbers(int(hours))
        cache.set(name, numbers, KEPT_SECONDS)
    context = {
        **page,
        **numbers,
        "title": _("The picture"),
        "hours": hours,
        "periods": PERIODS.items(),
    }
    return render(request, "admin/accounts/livesession/picture.html", context)


def _numbers(hours: int) -> dict[str, Any]:
    now, live = timezone.now(), figures.note_live()
    since = now - timedelta(hours=hours)
    by_hour = figures.sign_ins_by_hour(since)
    return {
        "at": now,
        "live": live,
        "over_time": [*figures.live_since(since), (now, live)],
        "by_hour": by_hour,
        "signed_in": sum(hour.done for hour in by_hour),
        "refused": sum(hour.refused for hour in by_hour),
        "ends": figures.ends_by_kind(since),
        "addresses": figures.top_addresses(since),
        "devices": figures.top_devices(since),
    }
