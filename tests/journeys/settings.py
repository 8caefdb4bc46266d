"""The production settings, without the need to collect static files first.

Where no outage is tested, a busy machine must not make one: the store and the database
have long timeouts. TEST_TIMEOUTS=production leaves them as they are.
"""

from __future__ import annotations

import os

from backoffice.settings import *  # noqa: F403
from backoffice.settings import (
    BASE_DIR,
    CACHES,
    DATABASES,
    SESSION_STORE_ALIAS,
    SILENCED_SYSTEM_CHECKS,
    STORAGES,
    STORE_TIMEOUT_SECONDS,
)

STORAGES = {
    **STORAGES,
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
STATIC_ROOT = BASE_DIR / "backoffice" / "static"
WHITENOISE_USE_FINDERS = True

if os.environ.get("TEST_TIMEOUTS") != "production":
    STORE_TIMEOUT_SECONDS = 10.0
    _pool = CACHES[SESSION_STORE_ALIAS]["OPTIONS"]["CONNECTION_POOL_KWARGS"]
    _pool["socket_timeout"] = _pool["socket_connect_timeout"] = STORE_TIMEOUT_SECONDS
    DATABASES["default"]["OPTIONS"]["timeout"] = 60
    # The check that refuses so long a timeout of the store.
    SILENCED_SYSTEM_CHECKS = [*SILENCED_SYSTEM_CHECKS, "accounts.E003"]
