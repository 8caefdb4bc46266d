from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Lower
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from accounts.desk.read_only import ReadOnlyAdmin
from accounts.desk.suspending import Standing
from accounts.models import Suspension, User

if TYPE_CHECKING:
    Users = QuerySet[User]


class SuspendedFilter(admin.SimpleListFilter):
    """Who may not sign in at the moment."""

    title = _("suspended")
    parameter_name = "suspended"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("yes", _("Yes")), ("no", _("No"))]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() in {"yes", "no"}:
            return queryset.filter(is_suspended=self.value() == "yes")
        return queryset


@admin.register(User)
class UserAdmin(ReadOnlyAdmin):
    change_form_template = "admin/accounts/user/change_form.html"
    list_display = ("name", "state", "username", "email", "department", "is_staff")
    list_filter = (SuspendedFilter, "is_staff", "department")
    search_fields = ("name", "username", "email", "=sub")
    fields = (
        "name",
        "username",
        "email",
        "department",
        "issuer",
        "sub",
        "is_staff",
        "date_joined",
        "last_login",
    )

    def get_queryset(self, request: HttpRequest) -> Users:
        by_sub = Q(sub=OuterRef("sub"))
        by_email = Q(sub="", email=Lower(OuterRef("email"))) & ~Q(email="")
        rows = Suspension.objects.in_effect().filter(
            by_sub | by_email, issuer=OuterRef("issuer")
        )
        found: Users = super().get_queryset(request)
        return found.annotate(is_suspended=Exists(rows))

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """The person's page, with the way to suspend them."""
        user = self.get_object(request, object_id)
        more = {"person": Standing.of(request, user)} if user else {}
        return super().change_view(
            request, object_id, form_url, {**(extra_context or {}), **more}
        )

    @admin.display(description=_("state"))
    def state(self, user: Any) -> SafeString | str:
        if not user.is_suspended:
            return ""
        return format_html("<strong>{}</strong>", _("Suspended"))
