from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from accounts import history
from accounts.audit import Event
from accounts.desk.read_only import ReadOnlyAdmin
from accounts.models import AuditEntry

if TYPE_CHECKING:
    Entries = QuerySet[AuditEntry]


class EventFilter(admin.SimpleListFilter):
    """By event. Django's own would look through the whole table for what there is."""

    title = _("event")
    parameter_name = "event"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(event.value, history.words(event)) for event in Event]

    def queryset(self, request: HttpRequest, queryset: Entries) -> Entries:
        return queryset.filter(event=self.value()) if self.value() else queryset


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    """Every entry, to be read, searched and narrowed, and nothing else."""

    list_display = (
        "pk",
        "at",
        "what",
        "actor",
        "subject",
        "session",
        "address",
        "reason",
    )
    list_filter = ("at", EventFilter)
    search_fields = ("subject", "actor", "session_id", "address")
    search_help_text = _(
        "The number of an entry, a user name, a session id, the id of a request or an "
        "address, in full."
    )
    # One count a page is enough.
    show_full_result_count = False
    sortable_by = ("pk", "at")

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """Within dates by date, which has an index; else by place in the chain."""
        is_dated = any(name.startswith("at__") for name in request.GET)
        return ("-at", "-pk") if is_dated else ("-pk",)

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        """Without links to sessions for those who may not follow them."""
        if request.user.has_perm("accounts.view_livesession"):
            return list(self.list_display)
        plain = {"session": "session_id"}
        return [plain.get(name, name) for name in self.list_display]

    @admin.display(description=_("event"))
    def what(self, entry: AuditEntry) -> str:
        return history.words(entry.event)

    @admin.display(description=_("session"))
    def session(self, entry: AuditEntry) -> str:
        if not entry.session_id:
            return ""
        address = reverse("admin:accounts_livesession_change", args=[entry.session_id])
        return format_html('<a href="{}">{}</a>', address, entry.session_id)

    def get_search_results(
        self, request: HttpRequest, queryset: Entries, search_term: str
    ) -> tuple[Entries, bool]:
        """By number, where it is one: the reference that ended people are shown.

        Else by what is indexed, and exactly: Django's own way reads the whole table.
        """
        term = search_term.strip()
        if term.isdecimal() and len(term) <= 12:
            return queryset.filter(pk=int(term)), False
        if not term:
            return queryset, False
        named = Q(subject=term) | Q(actor=term) | Q(session_id=term.lower())
        named |= Q(request_id=term)
        return queryset.filter(named | _from(term)), False


def _from(text: str) -> Q:
    try:
        return Q(address=str(ip_address(text)))
    except ValueError:
        return Q()
