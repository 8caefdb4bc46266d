from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from accounts.profile import StaffProfile
from backoffice.proxy.address import Address, parse_address
from backoffice.proxy.errors import AmbiguousPath
from backoffice.proxy.paths import ProxyPath, folded
from backoffice.proxy.route_values import READS, SAFE, Cache, Identity, KeepAlive


@dataclass(frozen=True, slots=True)
class Route:
    """One internal API: where it is, who may call it, and how long it may take.

    `prefix`: the path below `/api/proxy/`, the name when left out. `groups`: any of
    these; empty = every staff member. `write_groups`: for unsafe methods, any of these
    as well; empty = whoever may read. Timeouts in seconds: `read_timeout` between two
    pieces, `total_timeout` for the whole call, upload and streamed answer included.
    `max_body`, `max_header`: bytes of request body, of all request fields together.
    `audience`: for whom an identity token is made out, the name when left out.
    `response_headers`: fields that pass although they are dropped elsewhere;
    `hide_headers`: the reverse. `cookies`: names the upstream may set, kept apart by
    cookies.py. `keepalive`: who uses a connection to the upstream again, see pool.py.
    `ca_file`: who signs the upstream's certificate, if no public authority
    does. `place`: where it stands, as in `routes.toml:12`; `places`: where each of its
    keys does.
    """

    name: str
    upstream: str
    prefix: str = ""
    groups: frozenset[str] = frozenset()
    methods: frozenset[str] = READS
    writes: bool = True
    write_groups: frozenset[str] = frozenset()
    connect_timeout: float = 2.0
    read_timeout: float = 30.0
    total_timeout: float = 60.0
    max_body: int = 10 * 1024 * 1024
    max_header: int = 32 * 1024
    identity: Identity = Identity.HEADERS
    audience: str = ""
    response_headers: frozenset[str] = frozenset()
    hide_headers: frozenset[str] = frozenset()
    cookies: frozenset[str] = frozenset()
    cache: Cache = Cache.NO_STORE
    keepalive: KeepAlive = KeepAlive.PERSON
    ca_file: str | None = None
    place: str = field(default="", compare=False)
    places: Mapping[str, str] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "prefix", self.prefix or self.name)
        object.__setattr__(self, "audience", self.audience or self.name)
        if not self.writes:
            object.__setattr__(self, "methods", self.methods & SAFE)

    @property
    def address(self) -> Address:
        return parse_address(self.upstream)

    def place_of(self, key: str) -> str:
        """The line of a key; the route's own where the file has no such key."""
        return self.places.get(key, self.place)

    @property
    def allow(self) -> str:
        """The value of an Allow field (RFC 9110, 10.2.1)."""
        return ", ".join(sorted(self.methods))

    def admits(self, profile: StaffProfile) -> bool:
        """Whether this person may call the route at all."""
        return not self.groups or profile.belongs_to(self.groups)

    def admits_write(self, profile: StaffProfile) -> bool:
        """Whether this person, once admitted, may change anything."""
        return not self.write_groups or profile.belongs_to(self.write_groups)


class RouteTable:
    """The routes by prefix, in the order in which the file has them."""

    def __init__(self, routes: Sequence[Route] = ()) -> None:
        self._routes = {route.name: route for route in routes}
        self._by_first: dict[str, list[Route]] = {}
        for route in sorted(routes, key=lambda one: len(one.prefix), reverse=True):
            first = route.prefix.partition("/")[0]
            self._by_first.setdefault(first, []).append(route)

    def __iter__(self) -> Iterator[Route]:
        return iter(self._routes.values())

    def __len__(self) -> int:
        return len(self._routes)

    def find(self, name: str) -> Route | None:
        return self._routes.get(name)

    def match(self, path: ProxyPath) -> tuple[Route, str] | None:
        """The route with the longest prefix, and what of the target follows it.

        Raises AmbiguousPath when another spelling of the same path has another route:
        where `crm/admin` is guarded, `crm/%61dmin` must not pass as a part of `crm`.
        """
        candidates = self._by_first.get(path.route, ())
        for route in candidates:
            rest = _after(route.prefix, path.below)
            if rest is not None:
                # Without longer prefixes beside it, no spelling leads anywhere else.
                if len(candidates) > 1:
                    _refuse_other_spelling(route, candidates, path)
                return route, rest
        return None

    def routes_for(self, profile: StaffProfile) -> list[Route]:
        """What this person may reach, for a page that shows it."""
        return [route for route in self if route.admits(profile)]


def _after(prefix: str, target: str) -> str | None:
    if not target.startswith(prefix):
        return None
    rest = target[len(prefix) :]
    return rest if rest[:1] in {"", "/", "?"} else None


def _refuse_other_spelling(
    route: Route, candidates: Sequence[Route], path: ProxyPath
) -> None:
    for reading in folded(path.below):
        read = next(
            (one for one in candidates if _after(one.prefix, reading) is not None), None
        )
        if read is not route:
            raise AmbiguousPath("prefix")
