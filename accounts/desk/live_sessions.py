from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path
from django.views.decorators.http import require_POST, require_safe

from accounts.desk import ending, finding, listing, one_session, picture
from accounts.desk.read_only import ReadOnlyAdmin
from accounts.models import LiveSession

View = Callable[..., HttpResponseBase]


@admin.register(LiveSession)
class LiveSessionAdmin(ReadOnlyAdmin):
    """The list of live sessions, straight from the store, and the way to end them."""

    def get_urls(self) -> list[URLPattern]:
        pages: list[tuple[str, View, str]] = [
            ("", self.seen(require_safe(listing.changelist)), "changelist"),
            ("find/", self.done(require_POST(finding.find)), "find"),
            ("end/", self.seen(ending.ask_or_end), "end"),
            ("ending/<slug:job_id>/", self.seen(ending.go_on), "ending"),
            ("picture/", self.seen(require_safe(picture.show)), "picture"),
            ("<str:session_id>/", self.seen(require_safe(one_session.show)), "change"),
        ]
        return [
            path(route, view, name=f"accounts_livesession_{name}")
            for route, view, name in pages
        ]

    def seen(self, view: View) -> View:
        """A page for those who may see sessions, in the look of the admin."""

        def show(request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
            if not self.has_view_permission(request):
                raise PermissionDenied
            page = {**self.admin_site.each_context(request), "opts": self.opts}
            return view(request, page, **kwargs)

        return self.admin_site.admin_view(show)

    def done(self, view: View) -> View:
        return self.admin_site.admin_view(view)
