"""Where an address is, in words: as the company names its networks, or in general."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

THIS_MACHINE = _("the server's own machine")
PRIVATE = _("a private network")
INTERNET = _("the internet")


def in_words(address: str) -> str | Promise:
    """The place of an address; "" when there is no address.

    The narrowest of PLACES that holds it. We ask no service where an address is: that
    would tell a stranger who works here, and when.
    """
    return _named(address, tuple(settings.PLACES.items())) if address else ""


# Each entry holds its own copy of the table.
@lru_cache(maxsize=512)
def _named(address: str, places: tuple[tuple[str, str], ...]) -> str | Promise:
    try:
        found = ip_address(address)
    except ValueError:
        return ""
    if isinstance(found, IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped
    holding = [
        (ip_network(network).prefixlen, name)
        for network, name in places
        if found in ip_network(network)
    ]
    if holding:
        return max(holding)[1]
    if found.is_loopback:
        return THIS_MACHINE
    return INTERNET if found.is_global else PRIVATE
