"""What is at the other end of the line: address and agent, read with care."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address, ip_network

from django.conf import settings
from django.http import HttpRequest
from ua_parser import parse

MAX_AGENT = 300


@dataclass(frozen=True, slots=True)
class Browser:
    address: str
    agent: str

    @classmethod
    def of(cls, request: HttpRequest) -> Browser:
        """The browser behind this request; the agent is cut, never trusted."""
        agent = request.headers.get("User-Agent", "")[:MAX_AGENT]
        return cls(client_address(request), agent)


def client_address(request: HttpRequest) -> str:
    """The nearest address that is not one of our own proxies; "" when unknown.

    X-Forwarded-For is read from the right, and only as far as TRUSTED_PROXIES vouch
    for it: everything to the left of the first stranger is the stranger's own claim.
    """
    address = request.META.get("REMOTE_ADDR", "")
    hops = request.headers.get("X-Forwarded-For", "").split(",")
    for hop in reversed(hops):
        if not is_trusted_proxy(address):
            break
        claimed = hop.strip()
        if not _is_address(claimed):
            break
        address = claimed
    return address if _is_address(address) else ""


def device(agent: str) -> str:
    """The agent in words, as in "Chrome 156, Windows 11"; "" when it says nothing."""
    return _device(agent) if agent else ""


@lru_cache(maxsize=4096)
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


def _is_address(text: str) -> bool:
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
