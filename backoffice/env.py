"""Reads the environment once, and reports everything wrong with it at once."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

import dj_database_url
from django.core.exceptions import ImproperlyConfigured
from environs import EnvError, FileAwareEnv

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_ABSENT = object()
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
_BOOLEANS = {"true": True, "false": False}


class Environment:
    """Typed reads that collect their errors; `seal()` raises them together.

    Every value may also come from a file named by `NAME_FILE`, the usual way to
    hand a secret to a container.
    """

    def __init__(self) -> None:
        self._env = FileAwareEnv(strip_whitespace=True)
        self._problems: list[str] = []

    def text(self, name: str, default: Any = _ABSENT) -> str:
        """The value as written; required when no default is given."""
        try:
            value: str = self._env.str(name, "")
        except (EnvError, OSError, ValueError) as error:
            self.problem(name, f"cannot be read: {error}")
            return ""
        if value:
            return value
        if default is _ABSENT:
            self.problem(name, "is required")
            return ""
        return str(default)

    def boolean(self, name: str, default: bool) -> bool:
        """Exactly `true` or `false`: a misspelt switch must not pick a side."""
        value = self.text(name, "true" if default else "false")
        if value not in _BOOLEANS:
            self.problem(name, f"must be true or false, not {value!r}")
        return _BOOLEANS.get(value, default)

    def seconds(self, name: str, default: int, lowest: int = 1) -> int:
        """A whole number of seconds; 0 only where `lowest` gives it a meaning."""
        return self._number(name, default, lowest=lowest, highest=366 * 86400)

    def days(self, name: str) -> int | None:
        """A whole number of days, at least 1; None when it is not given."""
        if not self.text(name, ""):
            return None
        return self._number(name, 1, lowest=1, highest=36525)

    def port(self, name: str, default: int) -> int:
        return self._number(name, default, lowest=1, highest=65535)

    def _number(self, name: str, default: int, lowest: int, highest: int) -> int:
        value = self.text(name, default)
        if not (value.isascii() and value.isdigit()):
            self.problem(name, f"must be a whole number, not {value!r}")
            return default
        if not lowest <= int(value) <= highest:
            self.problem(name, f"must be between {lowest} and {highest}, not {value}")
            return default
        return int(value)

    def names(self, name: str, default: Any = "") -> list[str]:
        """A comma-separated list; surrounding blanks and empty items are dropped."""
        value = self.text(name, default)
        return [item for item in (part.strip() for part in value.split(",")) if item]

    def networks(self, name: str) -> list[str]:
        """A comma-separated list of addresses or CIDR ranges."""
        found = []
        for item in self.names(name):
            try:
                ip_network(item)
            except ValueError as error:
                self.problem(name, str(error))
            else:
                found.append(item)
        return found

    def named_networks(self, name: str) -> dict[str, str]:
        """Networks and what people call them, as in `10.1.0.0/16=Seoul office`."""
        found = {}
        for item in self.names(name):
            network, _, words = (part.strip() for part in item.partition("="))
            try:
                ip_network(network)
            except ValueError as error:
                self.problem(name, str(error))
                continue
            if not words:
                self.problem(name, f"needs network=name, not {item!r}")
            found[network] = words
        return found

    def choice(self, name: str, default: str, among: tuple[str, ...]) -> str:
        """One of these words, exactly."""
        value = self.text(name, default)
        if value not in among:
            self.problem(name, f"must be {' or '.join(among)}, not {value!r}")
            return default
        return value

    def count(self, name: str, default: int, lowest: int = 0) -> int:
        """A whole number of things; 0 is one unless `lowest` says otherwise."""
        return self._number(name, default, lowest=lowest, highest=1_000_000)

    def host(self, name: str, default: str) -> str:
        """An IP address or a host name, without a port."""
        value = self.text(name, default)
        if not (_is_address(value) or _HOST_NAME.fullmatch(value)):
            self.problem(name, f"must be an address or a host name, not {value!r}")
            return default
        return value

    def at_least_one(self, name: str, default: int) -> int:
        """A whole number of things, of which there is one at least."""
        return self._number(name, default, lowest=1, highest=1_000_000)

    def web_address(self, name: str, default: Any = _ABSENT) -> str:
        """An http(s) address; http only for this machine, unless DEBUG is on."""
        value = self.text(name, default)
        if not value:
            return value
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            self.problem(name, f"must be an http or https address, not {value!r}")
        elif parts.scheme == "http" and parts.hostname not in LOOPBACK:
            self.problem(name, f"must use https, not {value!r}")
        elif parts.username or parts.query or parts.fragment:
            self.problem(name, "must have no user, query or fragment")
        return value

    def site_origin(self, name: str, default: Any = _ABSENT) -> str:
        """A web address that is an origin: scheme, host and port, no path."""
        value = self.web_address(name, default).rstrip("/")
        if urlsplit(value).path:
            self.problem(name, f"must have no path, not {value!r}")
        return value

    def path(self, name: str) -> Path | None:
        value = self.text(name, "")
        return Path(value) if value else None

    def database(self, name: str, default: str) -> dict[str, Any]:
        """A database address, as in `sqlite:///file` or `postgres://…`."""
        try:
            parsed = dj_database_url.parse(self.text(name, default))
        except (ValueError, KeyError) as error:
            self.problem(name, f"is not a database address: {error}")
            return dict(dj_database_url.parse(default))
        return dict(parsed)

    def store(self, name: str, default: Any = _ABSENT) -> StoreAddress:
        value = self.text(name, default)
        try:
            return StoreAddress.parse(value)
        except ValueError as error:
            if value:
                self.problem(name, str(error))
            return StoreAddress(value)

    def problem(self, name: str, what: str) -> None:
        self._problems.append(f"{name} {what}")

    def seal(self) -> None:
        """Raises ImproperlyConfigured with every problem, one a line."""
        if self._problems:
            lines = "\n".join(f"  {problem}" for problem in self._problems)
            raise ImproperlyConfigured(f"The environment is not usable:\n{lines}")


@dataclass(frozen=True, slots=True)
class WebServer:
    """Where the web server listens, with how many processes, and whom it trusts."""

    address: str
    port: int
    workers: int
    threads: int
    trusted_proxies: list[str]

    @classmethod
    def read(cls, env: Environment) -> Self:
        """The web server's configuration and the settings read the same names."""
        return cls(
            address=env.host("BIND_ADDRESS", "127.0.0.1"),
            port=env.port("PORT", 8000),
            workers=env.count("WEB_WORKERS", 2, lowest=1),
            threads=env.count("WEB_THREADS", 16, lowest=1),
            trusted_proxies=env.networks("TRUSTED_PROXIES"),
        )

    @property
    def bind(self) -> str:
        """As the web server takes it: an IPv6 address in brackets."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """Where the session store is: one server, a Sentinel set or a Cluster.

    Forms: `redis://`, `rediss://`, `unix://` (one server),
    `redis+sentinel://[user:password@]host:port,host:port/service[/database]` and
    `redis+cluster://[user:password@]host:port,host:port`. These two with TLS to every
    server, to the sentinels too: `rediss+…`, with `?ssl_ca_certs=/path` and the like.
    """

    url: str
    kind: str = "single"
    sentinels: tuple[tuple[str, int], ...] = field(default=())

    @classmethod
    def parse(cls, value: str) -> StoreAddress:
        """Raises ValueError with a sentence for the operator."""
        scheme, _, rest = value.partition("://")
        if scheme in {"redis", "rediss", "unix"} and rest:
            return cls(value)
        protocol, _, kind = scheme.partition("+")
        is_known = protocol in {"redis", "rediss"} and kind in {"sentinel", "cluster"}
        if not is_known or not rest:
            raise ValueError(
                "must begin with redis://, rediss://, unix://, redis+sentinel://, "
                "rediss+sentinel://, redis+cluster:// or rediss+cluster://"
            )
        rest, _, query = rest.partition("?")
        _check_tls_options(query, protocol)
        authority, _, path = rest.partition("/")
        login, _, listed = authority.rpartition("@")
        hosts = tuple(_host_and_port(item) for item in listed.split(","))
        prefix = f"{login}@" if login else ""
        if kind == "cluster":
            host, port = hosts[0]
            url = f"{protocol}://{prefix}{host}:{port}/0"
            return cls(f"{url}?{query}" if query else url, kind, hosts)
        service, _, database = path.partition("/")
        if not service:
            raise ValueError("needs the Sentinel service name after the hosts")
        url = f"{protocol}://{prefix}{service}/{database or 0}?is_master=1"
        return cls(f"{url}&{query}" if query else url, kind, hosts)


def _is_address(value: str) -> bool:
    try:
        ip_address(value)
    except ValueError:
        return False
    return True


def _host_and_port(item: str) -> tuple[str, int]:
    host, _, port = item.rpartition(":")
    if not host or not port.isdigit():
        raise ValueError(f"needs host:port, not {item!r}")
    return host, int(port)


def _check_tls_options(query: str, protocol: str) -> None:
    """Raises ValueError for anything but TLS options, and for those without TLS."""
    for name, _ in parse_qsl(query, keep_blank_values=True):
        if protocol != "rediss" or not name.startswith("ssl_"):
            raise ValueError(
                f"takes options that begin with ssl_ and only with rediss+, not {name}"
            )


def is_loopback(url: str) -> bool:
    """Whether the address points at this machine."""
    return urlsplit(url).hostname in LOOPBACK
