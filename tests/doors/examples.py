"""The examples in deploy/ for other servers, filled in for the house's routes.

Each example shows one route, `members`; here its lines stand once for each route of the
table, with that route's name, prefix and upstream in their place. Nothing else of it is
changed but addresses, ports and TLS.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from backoffice.demo.children import Child
from tests import servers
from tests.doors.house import House
from tests.doors.server import listens
from tests.journeys.site import ROOT
from tests.ports import reserved_port
from tests.waiting import wait_until

DEPLOY = ROOT / "deploy"
# Upstreams of a kind that the examples do not show.
NOT_SHOWN = {"socket", "secure", "doubtful", "unaccepting", "themed"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where the server listens, where the site does, and for which routes."""

    port: int
    site: str
    folder: Path
    routes: list[dict[str, str]]


def routes_of(house: House) -> list[dict[str, str]]:
    """Name, prefix, server and mount of each route that an example can show."""
    table = Path(house.site.environment["ROUTES_FILE"]).read_text(encoding="utf-8")
    found = []
    for route in tomllib.loads(table)["route"]:
        if route["name"] not in NOT_SHOWN:
            parts = urlsplit(route["upstream"])
            found.append(
                {
                    "name": route["name"],
                    "prefix": route.get("prefix", route["name"]),
                    "server": parts.netloc,
                    "port": str(parts.port),
                    "mount": parts.path,
                }
            )
    return found


def repeated(text: str, block: str, place: Place) -> str:
    """The text with this block of it once for each route."""
    assert block in text
    return text.replace(block, "".join(_named(block, route) for route in place.routes))


def _named(block: str, route: dict[str, str]) -> str:
    for known, ours in {
        "/api/proxy/members": f"/api/proxy/{route['prefix']}",
        "members.internal:9001": route["server"],
        "members.internal, port_value: 9001": f"127.0.0.1, port_value: {route['port']}",
        "/v1": route["mount"],
        "members": route["name"],
    }.items():
        block = block.replace(known, ours)
    return block


def caddy(place: Place) -> list[str]:
    text = (DEPLOY / "caddy" / "Caddyfile").read_text(encoding="utf-8")
    (block,) = re.findall(r"^\t@members.*?^\t}\n", text, re.M | re.S)
    text = repeated(text, block, place)
    text = text.replace("backoffice.example.com", f"http://:{place.port}")
    text = text.replace("backoffice:8000", place.site)
    text = text.replace("dial_timeout 500ms", "dial_timeout 10s")
    text = text.replace("response_header_timeout 1s", "response_header_timeout 10s")
    own = "{\n\tadmin off\n\tauto_https off\n}\n"
    file = place.folder / "Caddyfile"
    file.write_text(own + text, encoding="utf-8")
    return ["run", "--config", str(file), "--adapter", "caddyfile"]


def envoy(place: Place) -> list[str]:
    text = (DEPLOY / "envoy" / "envoy.yaml").read_text(encoding="utf-8")
    (route,) = re.findall(
        r"^ +- match: {path_separated_prefix.*?(?=^ +- match)", text, M
    )
    (cluster,) = re.findall(r"^    - name: members\n(?:      .*\n)+", text, re.M)
    (tls,) = re.findall(r"^ +transport_socket:\n.*?(?=^  clusters:)", text, M)
    text = repeated(repeated(text, route, place), cluster, place).replace(tls, "")
    # As the example says of an upstream without a path of its own.
    bare = r'(regex: "[^"]+)("}\s+substitution: )""'
    text = re.sub(bare, r'\1/?\2"/"', text)
    host, port = place.site.split(":")
    for known, ours in {
        "0.0.0.0, port_value: 8443": f"127.0.0.1, port_value: {place.port}",
        "backoffice, port_value: 8000": f"{host}, port_value: {port}",
        '"backoffice.example.com"': '"*"',
        "cluster: site, timeout: 1s": "cluster: site, timeout: 10s",
        # Else each refused connection is kept for a second.
        "stat_prefix: backoffice": f"stat_prefix: a{BELOW}delayed_close_timeout: 0.05s",
    }.items():
        assert known in text
        text = text.replace(known, ours)
    file = place.folder / "envoy.yaml"
    file.write_text(text, encoding="utf-8")
    quiet = ["--disable-hot-restart", "--log-level", "warning"]
    return ["-c", str(file), "--concurrency", "1", *quiet]


def traefik(place: Place) -> list[str]:
    text = (DEPLOY / "traefik" / "dynamic.yml").read_text(encoding="utf-8")
    for block in re.findall(r"^    members[\w-]*:\n(?:      .*\n)+", text, re.M):
        text = repeated(text, block, place)
    for known, ours in {
        "Host(`backoffice.example.com`) && ": "",
        "      tls: {}\n": "",
        "backoffice:8000": place.site,
    }.items():
        assert known in text
        text = text.replace(known, ours)
    file = place.folder / "dynamic.yml"
    file.write_text(text, encoding="utf-8")
    return [
        f"--entryPoints.websecure.address=127.0.0.1:{place.port}",
        f"--providers.file.filename={file}",
        "--global.checkNewVersion=false",
        "--global.sendAnonymousUsage=false",
        "--log.level=WARN",
    ]


M = re.M | re.S
BELOW = "\n" + " " * 16
START: dict[str, Callable[[Place], list[str]]] = {
    "caddy": caddy,
    "envoy": envoy,
    "traefik": traefik,
}


@contextmanager
def running_example(house: House, name: str, folder: Path) -> Iterator[str]:
    """Starts this server with its example before the site; gives its address."""
    program = servers.find(name)
    assert program, servers.HOW_TO_GET_THEM[name]
    site = f"127.0.0.1:{urlsplit(house.site.url).port}"
    place = Place(reserved_port(), site, folder, routes_of(house))
    command = [program, *START[name](place)]
    home = {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    child = Child(name, command, log=folder / "output.log", environment=home)
    try:
        wait_until(lambda: not child.is_alive() or listens(place.port))
        assert child.is_alive(), child.last_lines(20)
        yield f"http://localhost:{place.port}"
    finally:
        child.stop()
