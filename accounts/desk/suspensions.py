from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.desk import suspending
from accounts.desk.live_sessions import View
from accounts.desk.read_only import ReadOnlyAdmin
from accounts.models import Suspension


def _moment(at: datetime | None) -> str:
    return f"{timezone.localtime(at):%Y-%m-%d %H:%M %Z}" if at else "–"


class StateFilter(admin.SimpleListFilter):
    """In effect, or over."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("in-effect", _("In effect")), ("over", _("Over"))]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() == "in-effect":
            return queryset.in_effect()
        if self.value() == "over":
            return queryset.exclude(pk__in=Suspension.objects.in_effect())
        return queryset


@admin.register(Suspension)
class SuspensionAdmin(ReadOnlyAdmin):
    """Every suspension there was, and the pages that suspend and restore."""

    change_list_template = "admin/accounts/suspension/change_list.html"
    list_display = ("name", "state", "from_", "to", "by", "reason", "lifted")
    list_filter = (StateFilter,)
    search_fields = ("name", "email", "=sub", "by")
    fields = (
        "name",
        "state",
        "issuer",
        "sub",
        "email",
        "reason",
        "by",
        "from_",
        "to",
        "lifted",
        "lifted_by",
        "lifted_reason",
    )
    readonly_fields = ("state", "from_", "to", "lifted")

    def get_urls(self) -> list[URLPattern]:
        pages: list[tuple[str, View]] = [
            ("find", suspending.find),
            ("suspend", suspending.ask_or_suspend),
            ("restore", suspending.ask_or_restore),
        ]
        ours = [
            path(f"{name}/", self.seen(view), name=f"accounts_suspension_{name}")
            for name, view in pages
        ]
        return [*ours, *super().get_urls()]

    def seen(self, view: View) -> View:
        """A page in the look of the admin; the view says who may."""

        def show(request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
            page = {**self.admin_site.each_context(request), "opts": self.opts}
            return view(request, page, **kwargs)

        return self.admin_site.admin_view(show)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        """The list, with the way to suspend somebody who has no page of their own."""
        more = {
            "title": _("Suspensions"),
            "may_suspend": request.user.has_perm(suspending.MAY_SUSPEND),
        }
        return super().changelist_view(request, {**(extra_context or {}), **more})

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """One suspension, with the way to lift it while it is in effect."""
        row = self.get_object(request, object_id)
        more: dict[str, Any] = {"title": _("Suspension")}
        more |= {"restore_url": suspending.restore_url(request, row) if row else ""}
        return super().change_view(
            request, object_id, form_url, {**(extra_context or {}), **more}
        )

    @admin.display(description=_("since"), ordering="since")
    def from_(self, row: Suspension) -> str:
        return _moment(row.since)

    @admin.display(description=_("until"), ordering="until")
    def to(self, row: Suspension) -> str:
        return _moment(row.until)

    @admin.display(description=_("lifted"), ordering="lifted_at")
    def lifted(self, row: Suspension) -> str:
        return _moment(row.lifted_at)

    @admin.display(description=_("state"))
    def state(self, row: Suspension) -> str:
        in_effect = Suspension.objects.in_effect().filter(pk=row.pk).exists()
        return str(_("In effect") if in_effect else _("Over"))
