"""The fields that each answer of this site has, whatever it says (ASVS 3.4, 14.3)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.doors.house import Answer, Door, House, proof
from tests.doors.server import running_nginx
from tests.doors.test_outages import down, settled

# Target, method and further fields of a call, by the status that it gets.
SITUATIONS: dict[int, tuple[str, str, list[str]]] = {
    200: ("/api/proxy/echo/exposing", "GET", []),
    400: ("/api/proxy/echo/a%5cb", "GET", []),
    401: ("/api/proxy/echo/", "GET", []),
    403: ("/api/proxy/reports/", "GET", []),
    404: ("/api/proxy/absent/", "GET", []),
    405: ("/api/proxy/echo/", "DELETE", []),
    413: ("/api/proxy/echo/", "POST", ["Content-Length: 1001"]),
    502: ("/api/proxy/gone/", "GET", []),
    504: ("/api/proxy/slow/late", "GET", []),
}


def ask(door: Door, status: int, key: str) -> Answer:
    target, method, fields = SITUATIONS[status]
    if method == "POST":
        fields = [*fields, *proof(door)]
    # By either name of the cookie, which depends on the scheme.
    cookies = f"Cookie: session_id={key}; __Host-session_id={key}"
    if status != 401:
        fields = [*fields, cookies]
    body = b"x" * 1001 if status == 413 else b""
    found = door.ask(target, *fields, method=method, body=body)
    assert found.status == status
    return found


def is_defended(found: Answer) -> bool:
    return (
        found.all("X-Content-Type-Options") == ["nosniff"]
        and found.all("Referrer-Policy") == ["same-origin"]
        and len(found.all("Content-Security-Policy")) == 1
        and "frame-ancestors 'none'" in str(found.get("Content-Security-Policy"))
        and "default-src 'none'" in str(found.get("Content-Security-Policy"))
        and "sandbox" in str(found.get("Content-Security-Policy"))
    )


def is_kept_by_nobody(found: Answer) -> bool:
    return found.all("Cache-Control") == ["no-store"] and "Cookie" in str(
        found.get("Vary")
    )


@pytest.mark.parametrize("status", SITUATIONS)
def test_every_answer_is_defended_and_kept_by_nobody(
    door: Door, lasting_key: str, status: int
) -> None:
    found = ask(door, status, lasting_key)
    assert is_defended(found), found.head
    assert is_kept_by_nobody(found), found.head
    assert len(found.all("X-Request-Id")) == 1
    assert not found.all("Set-Cookie")


def test_an_outage_is_defended_and_kept_by_nobody(door: Door, key: str) -> None:
    with down(door):
        found = door.ask("/api/proxy/echo/", key=key)
    assert found.status == 503
    assert is_defended(found), found.head
    assert is_kept_by_nobody(found), found.head
    settled(door, key)


@pytest.fixture(scope="module", params=["check", "script"])
def secure_door(
    house: House,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Door]:
    """A door made for a site that people reach over https."""
    secure = house.site.environment | {"SITE_URL": "https://localhost"}
    site = replace(house.site, environment=secure)
    folder: Path = tmp_path_factory.mktemp("secure")
    with running_nginx(site, folder, request.param) as address:
        yield Door(house, request.param, address)


@pytest.mark.parametrize("status", SITUATIONS)
def test_over_https_every_answer_says_so_for_a_year(
    secure_door: Door, lasting_key: str, status: int
) -> None:
    """Door 1's own: tests/backoffice/proxy/test_middleware.py."""
    found = ask(secure_door, status, lasting_key)
    assert found.all("Strict-Transport-Security") == [
        "max-age=31536000; includeSubDomains"
    ]
    assert is_defended(found)


def test_an_upstream_s_page_cannot_run_as_ours(door: Door, lasting_key: str) -> None:
    for target in ("echo/exposing", "kept/exposing"):
        found = door.ask(f"/api/proxy/{target}", key=lasting_key)
        assert found.all("Content-Security-Policy") == [
            "sandbox; default-src 'none'; frame-ancestors 'none'"
        ]
        for name in (
            *("Alt-Svc", "Service-Worker-Allowed", "Public-Key-Pins", "Set-Cookie"),
            *("Access-Control-Allow-Origin", "Clear-Site-Data", "X-Powered-By"),
        ):
            assert found.all(name) == [], name
        assert "a secret" not in found.head


def test_the_key_is_in_no_log_and_no_answer(house: House, lasting_key: str) -> None:
    """COO-05, after every kind of call at every door, an outage apart."""
    for name in house.addresses:
        door = house.door(name)
        for status in SITUATIONS:
            found = ask(door, status, lasting_key)
            assert lasting_key not in found.head + found.body.decode("latin-1")
    folder = house.site.folder.parent
    logs = [*folder.rglob("*.log"), *folder.rglob("site.log")]
    assert logs
    for log in logs:
        assert lasting_key not in log.read_text(errors="replace"), log
