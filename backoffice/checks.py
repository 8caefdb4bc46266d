from __future__ import annotations

from itertools import chain
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.contrib.staticfiles.storage import ManifestFilesMixin, staticfiles_storage
from django.core.checks import CheckMessage, Error, Warning
from django.core.files.storage import Storage

from backoffice.proxy.errors import RouteTableError
from backoffice.proxy.route_file import load_routes

# Of which class it is, the settings say.
_collected: Any = staticfiles_storage

# NIST SP 800-63B-4, 5.2: the longest session at the highest assurance (AAL3).
LONGEST_SESSION_SECONDS = 12 * 3600


def check_routes(**kwargs: Any) -> list[CheckMessage]:
    """backoffice.E001: the route table cannot be used."""
    if settings.ROUTES_FILE is None:
        return []
    try:
        load_routes(settings.ROUTES_FILE)
    except RouteTableError as error:
        return [Error(problem, id="backoffice.E001") for problem in error.problems]
    return []


def check_static_files(**kwargs: Any) -> list[CheckMessage]:
    """backoffice.E004: a page would fail, or look as the code before did."""
    if not isinstance(_collected, ManifestFilesMixin):
        return []
    # As collectstatic leaves out what no page asks for.
    app: Any = apps.get_app_config("staticfiles")
    listed = (finder.list(app.ignore_patterns) for finder in get_finders())
    wrong = [
        name for name, storage in chain(*listed) if not _is_collected(name, storage)
    ]
    if not wrong:
        return []
    return [
        Error(
            f"{len(wrong)} static files, as {wrong[0]}, are missing from "
            f"{settings.STATIC_ROOT} or older than the code.",
            hint="Run: manage.py collectstatic --noinput",
            id="backoffice.E004",
        )
    ]


def _is_collected(name: str, storage: Storage) -> bool:
    """Whether STATIC_ROOT has this very file, and the manifest the name it goes by."""
    try:
        served = _collected.stored_name(name)
        with storage.open(name) as ours, _collected.open(name) as theirs:
            is_same = bool(ours.read() == theirs.read())
    except (OSError, ValueError):
        return False
    return is_same and bool(_collected.exists(served))


def check_site(**kwargs: Any) -> list[CheckMessage]:
    """What must not be so in production (`check --deploy`)."""
    found: list[CheckMessage] = []
    if not settings.SERVED_OVER_HTTPS:
        found.append(Error("SITE_URL must use https.", id="backoffice.E002"))
    if any(each.issuer.startswith("http://") for each in settings.PROVIDERS):
        found.append(Error("OIDC_ISSUER must use https.", id="backoffice.E003"))
    if not settings.ADMIN_GROUPS:
        found.append(
            Warning(
                "ADMIN_GROUPS is empty: nobody can end many sessions at once.",
                id="backoffice.W001",
            )
        )
    if not settings.STEP_UP_SECONDS:
        found.append(
            Warning(
                "STEP_UP_SECONDS is 0: a stolen cookie is enough for everything.",
                id="backoffice.W002",
            )
        )
    if settings.SESSION_ABSOLUTE_SECONDS > LONGEST_SESSION_SECONDS:
        found.append(
            Warning(
                "SESSION_ABSOLUTE_SECONDS is over 12 hours: somebody who proved who "
                "they are yesterday is not asked today.",
                id="backoffice.W003",
            )
        )
    return found
