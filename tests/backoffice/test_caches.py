"""What clients send does not fill the memory of a process."""

from __future__ import annotations

import gc
import importlib
import pkgutil
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
from django.test import RequestFactory
from pytest_django.fixtures import Settings

import accounts
import backoffice
from accounts import browser
from accounts.sessions import selection
from accounts.text_cache import TextCache
from backoffice import http_message
from backoffice.proxy import gate, headers, judgement, paths

# Signs in the keys of all of these caches of one process; a result is about as long.
MOST_SIGNS = 3 * 1024 * 1024

# Keys of which clients choose nothing, or only which of the known ones it is.
NOT_OF_CLIENTS = {
    "accounts.audit.chain._derive",
    "accounts.keys._derive",
    "accounts.sessions.questions._name_of",
    "accounts.sessions.seal._cipher",
    "accounts.sessions.seal._derive",
    "backoffice.http_message._date",
    "backoffice.http_message._is_trusted",
    "backoffice.proxy.address.parse_address",
    "backoffice.proxy.connection._trusting",
    "backoffice.proxy.errors._fields",
    "backoffice.proxy.headers.identity_fields",
    "backoffice.proxy.identity_token._derive",
    "backoffice.proxy.identity_token._signed",
    "backoffice.proxy.middleware.site_fields",
}
# Those whose text is measured before they are asked.
MEASURED = {
    "accounts.browser._client_address",
    "accounts.browser._is_within",
    "accounts.places._named",
    "backoffice.proxy.judgement._accepted",
}


def texts(found: object, depth: int = 3) -> Iterator[str]:
    if isinstance(found, str):
        yield found
    elif depth:
        for part in gc.get_referents(found):
            yield from texts(part, depth - 1)


def signs_kept(cached: Any) -> int:
    """How long the text is that a cache holds, keys and results."""
    owner = getattr(cached, "__self__", cached)
    held = owner.items() if isinstance(owner, dict) else gc.get_referents(cached)
    return sum(map(len, {text for part in held for text in texts(part)}))


def address_from(forwarded: str) -> None:
    browser.client_address(RequestFactory().get("/", HTTP_X_FORWARDED_FOR=forwarded))


def accept_host(name: str) -> None:
    judgement._host_of(RequestFactory().get("/", HTTP_HOST=f"{name}.example.com"))


ADDRESSES = [browser._client_address, browser._is_address, browser._is_within]
USES: dict[str, tuple[Callable[[str], object], list[Any]]] = {
    "path": (paths.is_proxy_path, [paths.is_proxy_path]),
    "target": (
        lambda text: paths.read_target(f"/api/proxy/{text}", "x"),
        [paths._read_origin_form],
    ),
    "sent-name": (
        lambda text: headers._sent_name(f"HTTP_{text}"),
        [headers._sent_name],
    ),
    "known-name": (headers._known_name, [headers._known_name]),
    "dropped": (headers._is_dropped, [headers._is_dropped]),
    "usual": (http_message._is_usual, [http_message._is_usual]),
    "forwarded-for": (address_from, ADDRESSES),
    "zone": (lambda text: address_from(f"fe80::1%{text}"), ADDRESSES),
    "network": (browser.network, [browser.network]),
    "device": (browser.kind_of_device, [browser.kind_of_device]),
    "words": (browser.device, [browser._device]),
    "address": (selection._address, [selection._address]),
    "host": (accept_host, [judgement._accepted]),
    "origin": (lambda text: gate.own_origin(f"http://{text}"), [gate.own_origin]),
}


@pytest.fixture(autouse=True)
def open_to_everybody(settings: Settings) -> None:
    settings.TRUSTED_PROXIES = ["127.0.0.1"]
    settings.ALLOWED_HOSTS = ["*"]


@pytest.mark.parametrize("name", USES)
def test_long_text_is_not_kept(name: str) -> None:
    use, caches = USES[name]
    before = sum(map(signs_kept, caches))
    for number in range(200):
        use(f"{number:05}".ljust(8000, "a"))
    assert sum(map(signs_kept, caches)) - before < 8000


@pytest.mark.parametrize("name", USES)
def test_ordinary_text_is_kept_up_to_a_bound(name: str) -> None:
    use, caches = USES[name]
    for number in range(5000):
        use(f"{number:05}".ljust(40, "a"))
    assert 0 < sum(map(signs_kept, caches)) < MOST_SIGNS / 4


def every_module() -> Iterator[ModuleType]:
    for package in (accounts, backoffice):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.endswith("__main__") and ".migrations" not in found.name:
                yield importlib.import_module(found.name)


def test_all_caches_of_client_text_have_a_bound_in_bytes() -> None:
    owners = {
        id(owner): owner
        for module in every_module()
        for value in vars(module).values()
        if isinstance(owner := getattr(value, "__self__", None), TextCache)
    }
    bounds = [owner.entries * owner.longest for owner in owners.values()]
    assert len(bounds) > 5
    assert sum(bounds) <= MOST_SIGNS


def test_each_other_cache_is_known() -> None:
    """Whoever adds one says here why clients cannot fill it, or takes `text_cache`."""
    found = {
        f"{module.__name__}.{name}"
        for module in every_module()
        for name, value in vars(module).items()
        if hasattr(value, "cache_info") and value.__module__ == module.__name__
    }
    assert found == NOT_OF_CLIENTS | MEASURED
