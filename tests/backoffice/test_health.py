from __future__ import annotations

from pathlib import Path

import pytest
from django.db import DatabaseError
from django.test import Client
from pytest_django.fixtures import Settings

from accounts.models import Revocation
from tests.conftest import use_store

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]


def test_livez_needs_nothing(client: Client, settings: Settings) -> None:
    use_store(settings, "redis://127.0.0.1:1/0")
    answer = client.get("/livez", headers={"host": "10.0.0.7"})
    assert answer.status_code == 200
    assert answer["Cache-Control"] == "no-store"


def test_readyz_says_what_works(client: Client) -> None:
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()) == (
        200,
        {"store": "ok", "database": "ok", "routes": "ok"},
    )


def test_readyz_without_the_store_is_503(client: Client, settings: Settings) -> None:
    use_store(settings, "redis://127.0.0.1:1/0")
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["store"]) == (503, "down")


def test_readyz_for_the_gate_needs_no_sql(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client.get("/readyz?for=gate").status_code == 200

    def away(*args: object) -> None:
        raise DatabaseError

    for name in ("exists", "filter"):
        monkeypatch.setattr(Revocation.objects, name, away)
    answer = client.get("/readyz?for=gate")
    assert (answer.status_code, answer.json()) == (200, {"store": "ok", "routes": "ok"})
    assert client.get("/readyz").status_code == 503


def test_readyz_for_the_gate_with_a_store_that_is_not_fenced_is_503(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new process, or a store that restarted, while the log cannot be read."""

    def away(*args: object, **kwargs: object) -> None:
        raise DatabaseError

    monkeypatch.setattr(Revocation.objects, "filter", away)
    answer = client.get("/readyz?for=gate")
    assert (answer.status_code, answer.json()["store"]) == (503, "down")


def test_readyz_for_the_gate_without_the_store_or_a_table_is_503(
    client: Client, settings: Settings, tmp_path: Path
) -> None:
    settings.ROUTES_FILE = tmp_path / "absent.toml"
    assert client.get("/readyz?for=gate").json() == {"store": "ok", "routes": "down"}
    use_store(settings, "redis://127.0.0.1:1/0")
    answer = client.get("/readyz?for=gate")
    assert (answer.status_code, answer.json()["store"]) == (503, "down")


def test_readyz_for_something_else_is_400(client: Client) -> None:
    assert client.get("/readyz?for=gaet").status_code == 400


def test_readyz_without_any_table_is_503(
    client: Client, settings: Settings, tmp_path: Path
) -> None:
    settings.ROUTES_FILE = tmp_path / "absent.toml"
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["routes"]) == (503, "down")


def test_readyz_without_the_ledger_is_503(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> bool:
        raise DatabaseError

    monkeypatch.setattr(Revocation.objects, "exists", away)
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["database"]) == (503, "down")
