from __future__ import annotations

from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from backoffice.env import Environment, StoreAddress


def problems_of(env: Environment) -> str:
    with pytest.raises(ImproperlyConfigured) as caught:
        env.seal()
    return str(caught.value)


def test_all_problems_are_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEBUG", "yes")
    monkeypatch.setenv("PORT", "eighty")
    monkeypatch.delenv("SECRET_KEY", raising=False)
    env = Environment()
    env.boolean("DEBUG", False), env.port("PORT", 8000), env.text("SECRET_KEY")
    text = problems_of(env)
    assert all(name in text for name in ("DEBUG", "PORT", "SECRET_KEY"))


def test_no_problem_is_no_error() -> None:
    Environment().seal()


@pytest.mark.parametrize("value", ["True", "1", "on", "yes", "TRUE", " "])
def test_boolean_is_exactly_true_or_false(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("DEBUG", value)
    env = Environment()
    if env.boolean("DEBUG", False) is False and not value.strip():
        return
    assert "DEBUG must be true or false" in problems_of(env)


def test_secret_may_come_from_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("from a file\n")
    monkeypatch.delenv("SECRET_KEY", raising=False)
    monkeypatch.setenv("SECRET_KEY_FILE", str(secret))
    assert Environment().text("SECRET_KEY") == "from a file"


def test_unreadable_secret_file_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SECRET_KEY", raising=False)
    monkeypatch.setenv("SECRET_KEY_FILE", "/nowhere/secret")
    env = Environment()
    env.text("SECRET_KEY")
    assert "SECRET_KEY" in problems_of(env)


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "abc", "٣", "99999999999"])
def test_seconds_are_whole_and_sensible(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("SESSION_IDLE_SECONDS", value)
    env = Environment()
    assert env.seconds("SESSION_IDLE_SECONDS", 60) == 60
    assert "SESSION_IDLE_SECONDS" in problems_of(env)


@pytest.mark.parametrize(
    "value",
    [
        "idp.example.com",
        "ftp://idp.example.com",
        "http://idp.example.com",
        "https://user@idp.example.com",
        "https://idp.example.com/?x=1",
        "https://idp.example.com/#x",
        "https://",
    ],
)
def test_web_address_is_https_and_plain(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("OIDC_ISSUER", value)
    env = Environment()
    env.web_address("OIDC_ISSUER")
    assert "OIDC_ISSUER" in problems_of(env)


def test_web_address_of_this_machine_may_be_http(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OIDC_ISSUER", "http://127.0.0.1:9000/realm")
    env = Environment()
    assert env.web_address("OIDC_ISSUER") == "http://127.0.0.1:9000/realm"
    env.seal()


def test_site_origin_has_no_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SITE_URL", "https://backoffice.example.com/app")
    env = Environment()
    env.site_origin("SITE_URL")
    assert "SITE_URL must have no path" in problems_of(env)


def test_lists_and_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAFF_GROUPS", " staff, ,support ")
    monkeypatch.setenv("TRUSTED_PROXIES", "10.0.0.0/8, ::1")
    env = Environment()
    assert env.names("STAFF_GROUPS") == ["staff", "support"]
    assert env.networks("TRUSTED_PROXIES") == ["10.0.0.0/8", "::1"]
    env.seal()


def test_network_that_is_none_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUSTED_PROXIES", "10.0.0.1/8")
    env = Environment()
    env.networks("TRUSTED_PROXIES")
    assert "TRUSTED_PROXIES" in problems_of(env)


def test_database_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "nonsense")
    env = Environment()
    env.database("DATABASE_URL", "sqlite:///x")
    assert "DATABASE_URL" in problems_of(env)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("redis://h:1/0", StoreAddress("redis://h:1/0")),
        ("unix:///s.sock?db=0", StoreAddress("unix:///s.sock?db=0")),
        (
            "redis+sentinel://u:p@a:1,b:2/main/3",
            StoreAddress(
                "redis://u:p@main/3?is_master=1", "sentinel", (("a", 1), ("b", 2))
            ),
        ),
        (
            "redis+cluster://a:1,b:2",
            StoreAddress("redis://a:1/0", "cluster", (("a", 1), ("b", 2))),
        ),
        (
            "rediss+sentinel://u:p@a:1,b:2/main?ssl_ca_certs=/ca.pem",
            StoreAddress(
                "rediss://u:p@main/0?is_master=1&ssl_ca_certs=/ca.pem",
                "sentinel",
                (("a", 1), ("b", 2)),
            ),
        ),
        (
            "rediss+cluster://a:1?ssl_ca_certs=/ca.pem",
            StoreAddress("rediss://a:1/0?ssl_ca_certs=/ca.pem", "cluster", (("a", 1),)),
        ),
    ],
)
def test_store_addresses(value: str, expected: StoreAddress) -> None:
    assert StoreAddress.parse(value) == expected


@pytest.mark.parametrize(
    "value",
    ["", "h:1", "http://h", "redis+sentinel://h/main", "redis+sentinel://h:1", "x://"],
)
def test_store_address_that_is_none(value: str) -> None:
    with pytest.raises(ValueError, match=r"must begin|needs"):
        StoreAddress.parse(value)


@pytest.mark.parametrize(
    "value",
    [
        "redis+sentinel://h:1/main?ssl_ca_certs=/ca.pem",
        "rediss+sentinel://h:1/main?is_master=0",
        "rediss+cluster://h:1?db=3",
    ],
)
def test_store_address_takes_no_options_but_those_of_tls(value: str) -> None:
    """`is_master=0` would have replicas read."""
    with pytest.raises(ValueError, match="ssl_"):
        StoreAddress.parse(value)
