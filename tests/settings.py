"""The production settings, told where the tests' own servers are."""

from __future__ import annotations

import os

os.environ.update(
    {
        "DEBUG": "false",
        "SECRET_KEY": "tests-only-" + "k" * 50,
        "SITE_URL": "http://localhost",
        "DATABASE_URL": "sqlite://:memory:",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "OIDC_ISSUER": "http://127.0.0.1:1",
        "OIDC_CLIENT_ID": "backoffice",
        "OIDC_CLIENT_SECRET": "tests-only",
        "OIDC_RENEW_SECONDS": "0",
        "STAFF_GROUPS": "staff",
        "ADMIN_GROUPS": "security-admins",
        "OPERATOR_GROUPS": "",
        "AUDITOR_GROUPS": "",
        "ROUTES_FILE": "",
        "SESSION_IDLE_SECONDS": "1800",
        "SESSION_ABSOLUTE_SECONDS": "28800",
        "TRUSTED_PROXIES": "",
    }
)


from backoffice.settings import *  # noqa: F403
from backoffice.settings import SILENCED_SYSTEM_CHECKS, STORAGES

ALLOWED_HOSTS = ["localhost", "testserver", "127.0.0.1"]
# The tests wait longer for the store than that check allows; its own tests call it.
SILENCED_SYSTEM_CHECKS = [*SILENCED_SYSTEM_CHECKS, "accounts.E003"]
STORAGES = {
    **STORAGES,
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
STATIC_ROOT = BASE_DIR / "backoffice" / "static"  # noqa: F405
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False
