from __future__ import annotations

import pytest
from django.test import RequestFactory
from pytest_django.fixtures import Settings

from accounts.browser import MAX_AGENT, Browser, client_address, device


def address(forwarded: str | None, remote: str = "10.0.0.1") -> str:
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    request = RequestFactory().get("/", headers=headers, REMOTE_ADDR=remote)
    return client_address(request)


def test_without_trusted_proxies_nothing_forwarded_is_believed() -> None:
    assert address("203.0.113.9") == "10.0.0.1"


@pytest.mark.parametrize(
    ("forwarded", "expected"),
    [
        (None, "10.0.0.1"),
        ("203.0.113.9", "203.0.113.9"),
        ("6.6.6.6, 203.0.113.9", "203.0.113.9"),
        ("6.6.6.6, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("nonsense", "10.0.0.1"),
        ("203.0.113.9, nonsense", "10.0.0.1"),
        ("2001:db8::9", "2001:db8::9"),
    ],
)
def test_forwarded_is_read_from_the_right_as_far_as_we_trust(
    settings: Settings, forwarded: str | None, expected: str
) -> None:
    settings.TRUSTED_PROXIES = ["10.0.0.0/8"]
    assert address(forwarded) == expected


def test_socket_without_an_address_gives_none() -> None:
    assert address(None, remote="") == ""


def test_agent_is_cut() -> None:
    request = RequestFactory().get("/", headers={"User-Agent": "x" * 5000})
    assert len(Browser.of(request).agent) == MAX_AGENT


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        ("", ""),
        ("curl/8.0", "curl 8"),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, "
            "like Gecko) Chrome/156.0.0.0 Safari/537.36",
            "Chrome 156, Windows 10",
        ),
    ],
)
def test_device_in_words(agent: str, words: str) -> None:
    assert device(agent) == words
