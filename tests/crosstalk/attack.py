"""Many people at one entrance, before upstreams of every kind."""

from __future__ import annotations

import itertools
import json
import random
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from backoffice.demo.children import Child
from backoffice.demo.staff import STAFF
from tests.crosstalk.client import Client, Person, Tally
from tests.crosstalk.upstreams import KINDS
from tests.doors.server import running_nginx
from tests.journeys.site import ROOT, Site, running_site
from tests.waiting import wait_until

# What the table calls the entrances, and the options of export_nginx that make them.
ENTRANCES = {"embedded": "", "forward-auth": "check", "nginx-lua": "script"}
KEEPALIVES = ("person", "off", "shared")
CLIENTS_EACH = 2
ROUTE = """
[[route]]
name = "{keepalive}-{name}"
upstream = "http://127.0.0.1:{port}"
methods = ["GET", "HEAD", "POST"]
keepalive = "{keepalive}"
read_timeout = 5
"""


@dataclass
class Ground:
    """A running site with its three entrances, and the people signed in to it."""

    site: Site
    ports: dict[str, int]
    people: list[Person]
    numbers: Iterator[int] = field(default_factory=itertools.count)


@contextmanager
def running_ground(folder: Path) -> Iterator[Ground]:
    with _upstreams(folder) as upstreams:
        table = folder / "routes.toml"
        table.write_text(
            "".join(
                ROUTE.format(
                    keepalive=keepalive, name=name.replace(".", "-"), port=port
                )
                for keepalive in KEEPALIVES
                for name, port in upstreams.items()
            ),
            encoding="utf-8",
        )
        changes = {"ROUTES_FILE": str(table), "TRUSTED_PROXIES": "127.0.0.1"}
        with (
            running_site(folder / "site", **changes) as site,
            running_nginx(site, folder / "check", "check") as check,
            running_nginx(site, folder / "script", "script") as script,
        ):
            urls = {"": site.url, "check": check, "script": script}
            ports = {
                name: int(urls[option].rpartition(":")[2])
                for name, option in ENTRANCES.items()
            }
            yield Ground(site, ports, list(_signed_in(site)))


@contextmanager
def _upstreams(folder: Path) -> Iterator[dict[str, int]]:
    file = folder / "ports.json"
    command = [sys.executable, "-m", "tests.crosstalk.upstreams", str(file)]
    child = Child("upstreams", command, log=folder / "upstreams.log", folder=ROOT)
    try:
        wait_until(lambda: file.exists() or not child.is_alive())
        assert child.is_alive(), child.last_lines(20)
        ports: dict[str, int] = json.loads(file.read_text(encoding="utf-8"))
        yield ports
    finally:
        child.stop()


def _signed_in(site: Site) -> Iterator[Person]:
    for number, person in enumerate(p for p in STAFF if "staff" in p.groups):
        browser = site.browser()
        browser.sign_in(person.sub)
        assert browser.session_key
        yield Person(number, person.username, browser.session_key)


@dataclass
class Result:
    total: Tally = field(default_factory=Tally)
    kinds: dict[str, Tally] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)


def attack(
    ground: Ground,
    entrance: str,
    keepalive: str,
    responses: int,
    kinds: Sequence[str] = tuple(KINDS),
    seed: int = 0,
) -> Result:
    """About so many responses, from each kind of upstream alike."""
    result = Result()
    for name in kinds:
        clients = [
            Client(person, ground.numbers, random.Random(f"{seed}{name}{number}"))  # noqa: S311
            for person in ground.people
            for number in range(CLIENTS_EACH)
        ]
        share = -(-responses // (len(kinds) * len(clients)))
        threads = [
            threading.Thread(
                target=_run,
                args=(client, ground.ports[entrance], keepalive, name, share),
                daemon=True,
            )
            for client in clients
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = result.kinds.setdefault(name, Tally())
        for client in clients:
            found += client.tally
            result.examples += client.examples
        result.total += found
    return result


def _run(client: Client, port: int, keepalive: str, name: str, share: int) -> None:
    route = f"{keepalive}-{name.replace('.', '-')}"
    client.go_to(port)
    # An entrance that responds to nothing at all is found by the share it misses.
    for _ in range(share * 3):
        if client.tally.responses >= share:
            break
        client.step(route, KINDS[name].methods)
    client.drop()
