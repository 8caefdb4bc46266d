from __future__ import annotations

import pytest
from pytest_django.fixtures import Settings

from accounts import places
from accounts.browser import kind_of_device, network


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("", ""),
        ("nonsense", ""),
        ("127.0.0.1", "the server's own machine"),
        ("10.2.3.4", "Seoul"),
        ("10.2.9.4", "Seoul, third floor"),
        ("::ffff:10.2.3.4", "Seoul"),
        ("192.168.1.1", "a private network"),
        ("9.9.9.9", "the internet"),
        ("2606:4700::1", "the internet"),
    ],
)
def test_place_is_the_narrowest_that_has_a_name(
    settings: Settings, address: str, words: str
) -> None:
    settings.PLACES = {"10.0.0.0/8": "Seoul", "10.2.9.0/24": "Seoul, third floor"}
    assert str(places.in_words(address)) == words


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("203.0.113.9", "203.0.113.0/24"),
        ("::ffff:203.0.113.9", "203.0.113.0/24"),
        ("2001:db8:1:2::9", "2001:db8:1::/48"),
        ("", ""),
        ("x", ""),
    ],
)
def test_network_of_an_address(address: str, expected: str) -> None:
    assert network(address) == expected


def test_kind_of_device_knows_no_versions() -> None:
    agent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/{}.0.0.0 Safari/537.36"
    assert kind_of_device(agent.format(156)) == kind_of_device(agent.format(157))
    assert kind_of_device(agent.format(156)) == "Chrome, Windows"
    assert kind_of_device("") == ""
