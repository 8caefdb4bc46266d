from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from accounts import keys
from accounts.desk.read_only import ReadOnlyAdmin
from accounts.models import LiveSession
from accounts.request import StaffRequest
from accounts.sessions import live
from accounts.sessions.index import Order

PAGE_SIZE = 100
END_AT_MOST = 1000
ORDERS = {"use": Order.LAST_USE, "start": Order.START, "end": Order.END}


@admin.register(LiveSession)
class LiveSessionAdmin(ReadOnlyAdmin):
    """The list of live sessions, straight from the store, and the way to end them."""

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path(
                "", wrap(self.changelist_view), name="accounts_livesession_changelist"
            ),
            path(
                "end/",
                wrap(require_POST(self.end_view)),
                name="accounts_livesession_end",
            ),
        ]

    def may_end(self, request: HttpRequest) -> bool:
        return request.user.has_perm("accounts.end_livesession")

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """One page of the list. Reads only; raises SessionStoreError for a 503."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        order = request.GET.get("o", "use")
        if order not in ORDERS:
            order = "use"
        total = live.count()
        pages = Paginator(range(total), PAGE_SIZE)
        page = pages.get_page(request.GET.get("p"))
        offset = (page.number - 1) * PAGE_SIZE
        own = _own_session_id(request)
        found = [
            replace(session, current=session.id == own)
            for session in live.page(ORDERS[order], offset, PAGE_SIZE, order != "end")
        ]
        context = {
            **self.admin_site.each_context(request),
            "title": _("Live sessions"),
            "opts": self.opts,
            "sessions": found,
            "total": total,
            "page": page,
            "page_numbers": pages.get_elided_page_range(page.number),
            "order": order,
            "may_end": self.may_end(request),
        }
        return render(request, "admin/accounts/livesession/change_list.html", context)

    def end_view(self, request: HttpRequest) -> HttpResponse:
        """Asks first, with the sessions and a reason; then ends exactly those."""
        if not self.may_end(request):
            raise PermissionDenied
        chosen = list(dict.fromkeys(request.POST.getlist("session")))
        chosen = [item for item in chosen if keys.is_session_id(item)][:END_AT_MOST]
        if not chosen:
            messages.warning(request, _("No session was chosen."))
            return redirect("admin:accounts_livesession_changelist")
        if "confirmed" not in request.POST:
            return self._ask(request, chosen)
        reason = request.POST.get("reason", "").strip()[:500]
        outcome = live.end(chosen, by=request.user.username, reason=reason)
        _tell(request, outcome)
        return redirect("admin:accounts_livesession_changelist")

    def _ask(self, request: HttpRequest, chosen: list[str]) -> HttpResponse:
        own = _own_session_id(request)
        found = [session for session in map(live.find, chosen) if session]
        context = {
            **self.admin_site.each_context(request),
            "title": _("End live sessions"),
            "opts": self.opts,
            "sessions": [replace(s, current=s.id == own) for s in found],
            "chosen": chosen,
            "gone": len(chosen) - len(found),
            "includes_own": own in chosen,
            "back": reverse("admin:accounts_livesession_changelist"),
        }
        return render(request, "admin/accounts/livesession/end.html", context)


def _own_session_id(request: HttpRequest) -> str | None:
    return cast("StaffRequest", request).session.session_id


def _tell(request: HttpRequest, outcome: live.Outcome) -> None:
    """Says what is known to have happened, and nothing more."""
    if outcome.pending:
        messages.warning(
            request,
            _(
                "The store does not answer. The kill is recorded and takes effect "
                "before the store answers its first question."
            ),
        )
        return
    ended, gone = len(outcome.ended), len(outcome.already_gone)
    if ended:
        text = ngettext("%(n)d session ended.", "%(n)d sessions ended.", ended)
        messages.success(request, text % {"n": ended})
    if gone:
        text = ngettext(
            "%(n)d session was already gone.", "%(n)d sessions were already gone.", gone
        )
        messages.info(request, text % {"n": gone})
    if outcome.acknowledged is False:
        messages.warning(
            request,
            _(
                "No replica of the store has confirmed it yet. Should the store fail "
                "over now, the kill is repeated from the ledger."
            ),
        )
    if not outcome.durable:
        messages.warning(
            request,
            _(
                "The database does not answer: the kill is done in the store, but not "
                "yet durable."
            ),
        )
