"""What is at the other end of the line: address and agent, read with care."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any, NamedTuple

from django.conf import settings
from django.http import HttpRequest
from ua_parser import parse

from accounts.text_cache import text_cache

MAX_AGENT = 300
# An IPv6 address as long as it can be written, with the name of an interface.
MAX_ADDRESS = 64
# Two proxies in front of ours, and the client, all by IPv6.
_MAX_REMEMBERED_HOPS = 160


class Browser(NamedTuple):
    address: str
    agent: str

    @classmethod
    def of(cls, request: HttpRequest) -> Browser:
        """The browser behind this request; the agent is cut, never trusted."""
        return cls.named_in(request.META)

    @classmethod
    def named_in(cls, meta: Mapping[str, Any]) -> Browser:
        """The same, from the META of a request."""
        agent = meta.get("HTTP_USER_AGENT", "")[:MAX_AGENT]
        return cls(_address_in(meta), agent)

    def as_remembered(self) -> Browser:
        """What of it may be kept, by REMEMBER_ADDRESS and REMEMBER_DEVICE."""
        return Browser(
            self.address if settings.REMEMBER_ADDRESS else "",
            self.agent if settings.REMEMBER_DEVICE else "",
        )

    def is_elsewhere(self, other: Browser) -> bool:
        """Whether the networks differ, as far as both are known."""
        return _differ(network(self.address), network(other.address))

    def is_another_device(self, other: Browser) -> bool:
        """Whether browser or system differ, whatever their versions."""
        return _differ(kind_of_device(self.agent), kind_of_device(other.agent))


def client_address(request: HttpRequest) -> str:
    """The nearest address that is not one of our own proxies; "" when unknown.

    X-Forwarded-For is read from the right, and only as far as TRUSTED_PROXIES vouch
    for it: everything to the left of the first stranger is the stranger's own claim.
    """
    return _address_in(request.META)


def _address_in(meta: Mapping[str, Any]) -> str:
    remote = meta.get("REMOTE_ADDR", "")
    forwarded = meta.get("HTTP_X_FORWARDED_FOR", "")
    trusted = tuple(settings.TRUSTED_PROXIES)
    if len(forwarded) > _MAX_REMEMBERED_HOPS:
        # A client can make it eight kilobytes long, and another one each time.
        return _client_address.__wrapped__(remote, forwarded, trusted)
    return _client_address(remote, forwarded, trusted)


# Asked for at every request, and a browser's hops are the same every time.
@lru_cache(maxsize=4096)
def _client_address(remote: str, forwarded: str, trusted: tuple[str, ...]) -> str:
    address = remote
    for hop in reversed(forwarded.split(",")):
        if not _is_within(address, trusted):
            break
        claimed = hop.strip()
        if not _is_address(claimed):
            break
        address = claimed
    return address if _is_address(address) else ""


def device(agent: str) -> str:
    """The agent in words, as in "Chrome 156, Windows 11"; "" when it says nothing."""
    return _device(agent) if agent else ""


@text_cache(entries=1024, longest=MAX_AGENT)
def kind_of_device(agent: str) -> str:
    """Browser and system without their versions, as in "Chrome, Windows"."""
    if not agent:
        return ""
    found = parse(agent)
    parts = (found.user_agent, found.os)
    return ", ".join(part.family for part in parts if part) or agent


@text_cache(entries=4096, longest=MAX_ADDRESS)
def network(address: str) -> str:
    """The network of an address, as in "203.0.113.0/24": /24, or /48 in IPv6."""
    if not _is_address(address):
        return ""
    found = ip_address(address)
    if isinstance(found, IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped
    width = 24 if found.version == 4 else 48
    return str(ip_network(f"{found}/{width}", strict=False))


@text_cache(entries=1024, longest=MAX_AGENT)
def _device(agent: str) -> str:
    found = parse(agent)
    parts = []
    if found.user_agent:
        parts.append(_words(found.user_agent.family, found.user_agent.major))
    if found.os:
        parts.append(_words(found.os.family, found.os.major))
    return ", ".join(parts)


def _words(*words: str | None) -> str:
    return " ".join(word for word in words if word)


@text_cache(entries=4096, longest=MAX_ADDRESS)
def _is_address(text: str) -> bool:
    if len(text) > MAX_ADDRESS:
        # The name of an interface has no end to `ipaddress`: fe80::1%aaaa…
        return False
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def is_trusted_proxy(address: str) -> bool:
    """Whether this is the address of a server in front that we believe."""
    return _is_within(address, tuple(settings.TRUSTED_PROXIES))


@lru_cache(maxsize=4096)
def _is_within(address: str, networks: tuple[str, ...]) -> bool:
    return _is_address(address) and any(
        ip_address(address) in ip_network(network) for network in networks
    )


def _differ(one: str, other: str) -> bool:
    return bool(one and other) and one != other
