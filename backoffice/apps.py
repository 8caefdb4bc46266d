from __future__ import annotations

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig as DjangoAdminConfig


class BackofficeConfig(AppConfig):
    name = "backoffice"

    def ready(self) -> None:
        from django.core import checks

        from backoffice.checks import check_routes, check_site

        checks.register(check_routes)
        checks.register(check_site, deploy=True)


class AdminConfig(DjangoAdminConfig):
    default_site = "backoffice.desk.SecurityDesk"
