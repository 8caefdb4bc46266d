from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.decorators import login_not_required
from django.urls import include, path
from django.views.i18n import set_language

from backoffice.proxy.views import proxy

urlpatterns = [
    path("", include("backoffice.pages.urls")),
    path("", include("accounts.urls")),
    path("api/proxy/<path:rest>", proxy, name="proxy"),
    path("language/", login_not_required(set_language), name="set_language"),
    path("admin/", admin.site.urls),
]
