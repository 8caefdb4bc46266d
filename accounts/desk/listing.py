from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast
from urllib.parse import urlencode

from django.conf import settings
from django.core.paginator import Page, Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.desk.ending import MAY_END, MAY_END_IN_BULK
from accounts.desk.filters import FilterForm
from accounts.desk.target import ALONE_AT_MOST, is_many
from accounts.models import User
from accounts.request import StaffRequest
from accounts.sessions import live
from accounts.sessions.index import Order

# No more than may be ended by ticking them, without the questions of a bulk.
PAGE_SIZE = ALONE_AT_MOST
ORDERS = {"use": Order.LAST_USE, "start": Order.START, "end": Order.END}
# What stands beside the filters in an address of the list; the rest is Django admin's.
OUR_NAMES = frozenset({"o", "dir", "p", "e", "_popup", "_to_field"})
FIRST_ORDER, FIRST_DIRECTION = "use", "desc"


@dataclass(frozen=True, slots=True)
class Column:
    """A column that the list can be sorted by, and where a click on it leads."""

    name: str
    label: str | Promise
    is_current: bool
    is_descending: bool
    query: str


def changelist(request: HttpRequest, page: dict[str, Any]) -> HttpResponse:
    """One page of the list. Reads only; raises SessionStoreError for a 503.

    With a mistake in a filter nothing is listed: the whole list under a filter that
    is shown but not applied would be taken for its result.
    """
    form = FilterForm(request.GET, besides=OUR_NAMES)
    order, direction = _sorting(request)
    found, total = (
        _found(request, form, order, direction) if form.is_valid() else (None, 0)
    )
    sorting = urlencode({"o": order, "dir": direction})
    context = {
        **page,
        "title": _("Live sessions"),
        "form": form,
        "found": found,
        "sessions": found.object_list if found else [],
        "total": total,
        "page_numbers": found.paginator.get_elided_page_range(found.number)
        if found
        else [],
        "columns": _columns(form, order, direction),
        "filters": form.query,
        "address": "&".join(filter(None, [form.query, sorting])),
        "may_end": request.user.has_perm(MAY_END),
        "may_end_in_bulk": request.user.has_perm(MAY_END_IN_BULK),
        "may_end_all": not is_many(total) or request.user.has_perm(MAY_END_IN_BULK),
        "departments": _departments(),
        "groups": sorted(settings.STAFF_GROUPS | settings.ADMIN_GROUPS),
    }
    return render(
        request,
        "admin/accounts/livesession/change_list.html",
        context,
        status=422 if found is None else 200,
    )


def _found(
    request: HttpRequest, form: FilterForm, order: str, direction: str
) -> tuple[Page[Any], int]:
    selection, is_descending = form.selection(), direction == "desc"
    number = _number(request.GET.get("p"))
    offset = (number - 1) * PAGE_SIZE
    seen = live.select(selection, ORDERS[order], offset, PAGE_SIZE, is_descending)
    page: Page[Any] = Paginator(range(seen.total), PAGE_SIZE).get_page(number)
    if page.number != number:
        offset = (page.number - 1) * PAGE_SIZE
        seen = live.select(selection, ORDERS[order], offset, PAGE_SIZE, is_descending)
    own = cast("StaffRequest", request).session.session_id
    page.object_list = [replace(each, current=each.id == own) for each in seen.sessions]
    return page, seen.total


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() and int(text[:9]) > 0 else 1


def _sorting(request: HttpRequest) -> tuple[str, str]:
    order, direction = request.GET.get("o", ""), request.GET.get("dir", "")
    if order not in ORDERS:
        order = FIRST_ORDER
    if direction not in {"asc", "desc"}:
        direction = "asc" if order == "end" else FIRST_DIRECTION
    return order, direction


def _columns(form: FilterForm, order: str, direction: str) -> list[Column]:
    labels = {"start": _("Signed in"), "use": _("Last use"), "end": _("Ends")}
    columns = []
    for name, label in labels.items():
        is_current, is_descending = name == order, direction == "desc"
        turned = "asc" if is_current and is_descending else "desc"
        sorting = urlencode({"o": name, "dir": turned})
        query = "&".join(filter(None, [form.query, sorting]))
        columns.append(Column(name, label, is_current, is_descending, query))
    return columns


def _departments() -> list[str]:
    found = User.objects.exclude(department="").values_list("department", flat=True)
    return list(found.order_by("department").distinct()[:200])
