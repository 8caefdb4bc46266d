from __future__ import annotations

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig as DjangoAdminConfig


class BackofficeConfig(AppConfig):
    name = "backoffice"

    def ready(self) -> None:
        from django.core import checks, signals
        from django.core.cache import close_caches

        from backoffice.checks import check_routes, check_site, check_static_files

        # After each request, for caches that hold a connection of their own. Ours have
        # none to close (memory; a pool that is kept), and it is a tenth of a call.
        signals.request_finished.disconnect(close_caches)
        checks.register(check_routes)
        checks.register(check_site, deploy=True)
        checks.register(check_static_files, deploy=True)


class AdminConfig(DjangoAdminConfig):
    default_site = "backoffice.desk.SecurityDesk"
