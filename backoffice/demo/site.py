"""The configuration of the demo's site and of what it meets: environment and files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backoffice.demo.ports import LOOPBACK
from backoffice.demo.state_folder import Ports, Secrets

CLIENT_ID = "backoffice"
# The caller's own values would reach into the demo; a *_FILE would win over ours.
CONFIGURATION = (
    "SECRET_KEY",
    "DEBUG",
    "ALLOWED_HOSTS",
    "SITE_",
    "DATABASE_",
    "REDIS_",
    "OIDC_",
    "STAFF_",
    "STATIC_ROOT",
    "ADMIN_GROUPS",
    "OPERATOR_GROUPS",
    "AUDITOR_GROUPS",
    "PROFILE_URL",
    "STEP_UP_SECONDS",
    "ROUTES_FILE",
    "TRUSTED_PROXIES",
    "BIND_ADDRESS",
    "PORT",
    "DJANGO_",
    "GUNICORN_",
)
ROUTES = """\
# The demo's route table, written anew at every start.

[[route]]
name = "members"
upstream = "{upstream}/v1/members"
groups = ["support", "operations"]
methods = ["GET", "HEAD", "POST"]

[[route]]
name = "orders"
upstream = "{upstream}/v1/orders"
groups = ["operations"]

[[route]]
name = "reports"
upstream = "{upstream}/v1/reports"
groups = ["finance"]

[[route]]
name = "echo"
upstream = "{upstream}/v1/echo"
methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]

[[route]]
name = "events"
upstream = "{upstream}/v1/events"
"""


def site_url(ports: Ports) -> str:
    return f"http://localhost:{ports.site}"


def issuer(ports: Ports) -> str:
    """Another host name than the site's: to the browser two sites, as in real life."""
    return f"http://{LOOPBACK}:{ports.provider}"


def upstream_url(ports: Ports) -> str:
    return f"http://{LOOPBACK}:{ports.upstream}"


def routes(ports: Ports) -> str:
    """The route table, as TOML."""
    return ROUTES.format(upstream=upstream_url(ports))


def clients(ports: Ports, secrets: Secrets) -> list[dict[str, Any]]:
    """What the provider is told about the site."""
    origins = [site_url(ports), f"http://{LOOPBACK}:{ports.site}"]
    return [
        {
            "client_id": CLIENT_ID,
            "secret": secrets.client_secret,
            "redirect_uris": [f"{each}/sso/complete/oidc/" for each in origins],
            "post_logout_redirect_uris": [f"{each}/signed-out/" for each in origins],
            "backchannel_logout_uri": f"{origins[1]}/sso/backchannel-logout/",
        }
    ]


def environment(
    caller: Mapping[str, str],
    *,
    folder: Path,
    ports: Ports,
    secrets: Secrets,
    store_url: str,
) -> dict[str, str]:
    """The environment of the site: the caller's, with the whole configuration ours."""
    return {
        **inherited(caller),
        "DEBUG": "true",
        "SECRET_KEY": secrets.secret_key,
        "ALLOWED_HOSTS": f"localhost,{LOOPBACK}",
        "SITE_URL": site_url(ports),
        "PORT": str(ports.site),
        "DATABASE_URL": f"sqlite:///{folder / 'db.sqlite3'}",
        "REDIS_URL": store_url,
        "OIDC_ISSUER": issuer(ports),
        "OIDC_CLIENT_ID": CLIENT_ID,
        "OIDC_CLIENT_SECRET": secrets.client_secret,
        "STAFF_GROUPS": "staff",
        "ADMIN_GROUPS": "security-admins",
        "ROUTES_FILE": str(folder / "routes.toml"),
    }


def inherited(caller: Mapping[str, str]) -> dict[str, str]:
    """The caller's environment for any child, without what would configure the site."""
    kept = {
        name: value
        for name, value in caller.items()
        if not name.startswith(CONFIGURATION)
    }
    # A developer's proxy knows no way back to this machine.
    direct = [caller.get("NO_PROXY") or caller.get("no_proxy"), "localhost", LOOPBACK]
    no_proxy = ",".join(each for each in direct if each)
    return {**kept, "NO_PROXY": no_proxy, "no_proxy": no_proxy, "PYTHONUNBUFFERED": "1"}
