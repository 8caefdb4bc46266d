"""A real nginx with one of the doors in it, as a child on a loopback port."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from backoffice.demo.children import Child
from tests import nginx
from tests.journeys.site import ROOT, Site
from tests.ports import reserved_port
from tests.waiting import wait_until

SNIPPETS = ROOT / "deploy" / "nginx"
# How long nginx waits for site and store: in production, and where a test must wait
# longer than a busy machine stands still. Each is found, or the product has changed.
LONG_TIMEOUTS = [
    ("check.conf", "proxy_connect_timeout 500ms;", "proxy_connect_timeout 10s;"),
    ("check.conf", "proxy_read_timeout 1s;", "proxy_read_timeout 10s;"),
    ("lua/backoffice/checks.lua", " 500, 500, 1000, 1.5\n", " 10e3, 10e3, 10e3, 15\n"),
    ("lua/backoffice/store.lua", "WAIT_SECONDS = 0.9\n", "WAIT_SECONDS = 15\n"),
    ("lua/backoffice/fence.lua", "ASK_SECONDS = 5\n", "ASK_SECONDS = 10\n"),
    ("lua/backoffice/fence.lua", "POLL_SECONDS = 0.4,", "POLL_SECONDS = 15,"),
    ("lua/backoffice/check.lua", "LIVE_SECONDS = 1\n", "LIVE_SECONDS = 10\n"),
    (
        "lua/backoffice/watch.lua",
        "UNKNOWN_SECONDS = 2, 4\n",
        "UNKNOWN_SECONDS = 2, 20\n",
    ),
]

CONFIG = """
{modules}
{user}
daemon off;
worker_processes 2;
pcre_jit on;
pid {folder}/nginx.pid;
error_log {folder}/error.log notice;
events {{ worker_connections {connections}; }}
http {{
    access_log off;
    keepalive_requests 1000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server_tokens off;
    include {made}/http.conf;
    server {{
        listen 127.0.0.1:{port} {protocol};
        server_name _;
        include {made}/server.conf;
        location / {{
            proxy_pass http://backoffice_site;
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
        }}
    }}
}}
"""


@contextmanager
def running_nginx(
    site: Site,
    folder: Path,
    door: str,
    *options: str,
    modules: tuple[str, ...] = nginx.MODULES,
    protocol: str = "",
    connections: int = 2048,
    is_hasty: bool = False,
    environment: dict[str, str] | None = None,
) -> Iterator[str]:
    """Starts nginx with this door before the site; gives its address.

    `is_hasty`: it waits for store and site as in production, and not longer.
    `environment`: what is added to this process's for nginx.
    """
    port = reserved_port()
    folder.mkdir(parents=True, exist_ok=True)
    site_port = int(urlsplit(site.url).port or 0)
    where = site.manage, folder, port, door, site_port
    command = nginx_command(
        *where,
        *options,
        modules=modules,
        protocol=protocol,
        connections=connections,
        is_hasty=is_hasty,
    )
    child = Child(
        "nginx",
        command,
        log=folder / "output.log",
        environment=os.environ | (environment or {}),
    )
    try:
        wait_until(lambda: not child.is_alive() or listens(port))
        assert child.is_alive(), child.last_lines(20)
        yield f"http://localhost:{port}"
    finally:
        child.stop()


def nginx_command(
    manage: Callable[..., object],
    folder: Path,
    port: int,
    door: str,
    site_port: int,
    *options: str,
    modules: tuple[str, ...] = nginx.MODULES,
    protocol: str = "",
    connections: int = 2048,
    is_hasty: bool = True,
) -> list[str]:
    """Writes everything that this nginx reads into `folder`; how to start it."""
    found = nginx.find()
    assert found
    program, home = found
    made, config = folder / "made", folder / "nginx.conf"
    where = ("--door", door, "--site", f"127.0.0.1:{site_port}")
    if "--snippets" not in options and not is_hasty:
        options = (*options, "--snippets", str(patient_snippets(folder)))
    manage("export_nginx", str(made), *where, *options)
    loaded = "\n".join(f"load_module {home / name};" for name in modules)
    # Workers of a root master become another user, who may not read our folders.
    user = f"user {getpass.getuser()};" if os.geteuid() == 0 else ""
    values = {"modules": loaded, "user": user, "folder": folder, "made": made}
    values |= {"port": port, "protocol": protocol, "connections": connections}
    config.write_text(CONFIG.format(**values))
    return [program, "-p", str(folder), "-c", str(config), "-e", f"{folder}/error.log"]


def patient_snippets(folder: Path) -> Path:
    """A copy of deploy/nginx with longer timeouts."""
    copy = folder / "snippets"
    shutil.copytree(SNIPPETS, copy)
    for name, known, longer in LONG_TIMEOUTS:
        text = (copy / name).read_text()
        assert text.count(known) == 1, (name, known)
        (copy / name).write_text(text.replace(known, longer))
    return copy


def listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0
