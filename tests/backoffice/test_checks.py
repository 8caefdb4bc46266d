from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from accounts.sso.providers import Provider
from backoffice.checks import check_routes, check_site
from backoffice.demo.store import EmbeddedStore
from tests.journeys.site import ROOT


def ids(found: list) -> set[str | None]:  # type: ignore[type-arg]
    return {message.id for message in found}


def production(store: EmbeddedStore, folder: Path) -> dict[str, str]:
    """The environment of a site as docs/settings.md recommends it."""
    return {
        "SECRET_KEY": "9Zy#" * 4 + "abcdefghijklmnopqrstuvwxyz0123456789!$%&()=",
        "SITE_URL": "https://backoffice.example.com",
        "DATABASE_URL": f"sqlite:///{folder / 'db.sqlite3'}",
        "REDIS_URL": store.url,
        "OIDC_ISSUER": "https://idp.example.com",
        "OIDC_CLIENT_ID": "backoffice",
        "OIDC_CLIENT_SECRET": "secret",
        "STAFF_GROUPS": "staff",
        "ADMIN_GROUPS": "security-admins",
    }


def check_deploy(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "manage.py", "check", "--deploy"]
    return subprocess.run(
        [*command, "--fail-level", "WARNING"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_check_deploy_finds_nothing_in_a_proper_production(
    collected: tuple[Path, dict[str, str]],
) -> None:
    done = check_deploy(collected[1])
    assert done.returncode == 0, done.stderr


def test_check_deploy_refuses_http_debug_and_a_lossy_store(tmp_path: Path) -> None:
    lossy = ["--maxmemory-policy", "allkeys-lru"]
    with EmbeddedStore(tmp_path / "lossy", extra=lossy) as server:
        environment = production(server, tmp_path)
        environment |= {"SITE_URL": "http://localhost:8000", "DEBUG": "true"}
        done = check_deploy(environment)
    assert done.returncode == 1
    for found in ("backoffice.E002", "accounts.E005", "accounts.E006", "security.W018"):
        assert found in done.stderr


def test_unusable_environment_is_a_list_and_no_traceback() -> None:
    done = check_deploy({"DEBUG": "maybe"})
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "DEBUG must be true or false" in done.stderr
    assert "REDIS_URL is required" in done.stderr


def test_route_table_with_errors_is_reported_line_by_line(
    settings: Settings, tmp_path: Path
) -> None:
    settings.ROUTES_FILE = tmp_path / "routes.toml"
    settings.ROUTES_FILE.write_text('[[route]]\nname = "A B"\nupstream = "ftp://x"\n')
    found = check_routes()
    assert ids(found) == {"backoffice.E001"}
    assert len(found) == 2


def test_no_route_table_is_no_error(settings: Settings) -> None:
    settings.ROUTES_FILE = None
    assert check_routes() == []


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("SERVED_OVER_HTTPS", False, "backoffice.E002"),
        (
            "PROVIDERS",
            (Provider("oidc", "http://idp.example", "", ""),),
            "backoffice.E003",
        ),
        ("ADMIN_GROUPS", frozenset(), "backoffice.W001"),
        ("STEP_UP_SECONDS", 0, "backoffice.W002"),
        ("SESSION_ABSOLUTE_SECONDS", 12 * 3600 + 1, "backoffice.W003"),
    ],
)
def test_site_check(
    settings: Settings, name: str, value: object, expected: str
) -> None:
    settings.SERVED_OVER_HTTPS = True
    settings.PROVIDERS = (Provider("oidc", "https://idp.example", "", ""),)
    assert check_site() == []
    setattr(settings, name, value)
    assert ids(check_site()) == {expected}


# Static files ---------------------------------------------------------------


@pytest.fixture
def collected(
    store_server: EmbeddedStore, tmp_path: Path
) -> tuple[Path, dict[str, str]]:
    """Where the static files were collected, and the environment of that site."""
    root = tmp_path / "static"
    environment = production(store_server, tmp_path) | {"STATIC_ROOT": str(root)}
    collect = [sys.executable, "manage.py", "collectstatic", "--noinput"]
    subprocess.run([*collect, "-v0"], cwd=ROOT, env=environment, check=True)
    return root, environment


def test_static_files_that_were_not_collected_are_refused(
    store_server: EmbeddedStore, tmp_path: Path
) -> None:
    environment = production(store_server, tmp_path)
    done = check_deploy({**environment, "STATIC_ROOT": str(tmp_path / "none")})
    assert done.returncode == 1
    assert "backoffice.E004" in done.stderr
    assert "manage.py collectstatic" in done.stderr


@pytest.mark.parametrize("name", ["backoffice/favicon.svg", "staticfiles.json"])
def test_static_files_of_the_code_before_are_refused(
    collected: tuple[Path, dict[str, str]], name: str
) -> None:
    root, environment = collected
    (root / name).write_text('{"version": "1.1", "paths": {}}', encoding="utf-8")
    done = check_deploy(environment)
    assert done.returncode == 1
    assert "backoffice.E004" in done.stderr
