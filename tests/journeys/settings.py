"""The production settings, without the need to collect static files first."""

from __future__ import annotations

from backoffice.settings import *  # noqa: F403
from backoffice.settings import BASE_DIR, STORAGES

STORAGES = {
    **STORAGES,
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
STATIC_ROOT = BASE_DIR / "backoffice" / "static"
WHITENOISE_USE_FINDERS = True
