"""A real nginx with one of the doors in it, as a child on a loopback port."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from backoffice.demo.children import Child, wait_until
from backoffice.demo.ports import lasting_port
from tests import nginx
from tests.journeys.site import Site

START_SECONDS = 10

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
) -> Iterator[str]:
    """Starts nginx with this door before the site; gives its address."""
    port = lasting_port()
    folder.mkdir(parents=True, exist_ok=True)
    site_port = int(urlsplit(site.url).port or 0)
    where = site.manage, folder, port, door, site_port
    how = {"modules": modules, "protocol": protocol, "connections": connections}
    command = nginx_command(*where, *options, **how)
    child = Child("nginx", command, log=folder / "output.log")
    try:
        wait_until(lambda: not child.is_alive() or listens(port), START_SECONDS)
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
) -> list[str]:
    """Writes everything that this nginx reads into `folder`; how to start it."""
    found = nginx.find()
    assert found
    program, home = found
    made, config = folder / "made", folder / "nginx.conf"
    where = ("--door", door, "--site", f"127.0.0.1:{site_port}")
    manage("export_nginx", str(made), *where, *options)
    loaded = "\n".join(f"load_module {home / name};" for name in modules)
    # Workers of a root master become another user, who may not read our folders.
    user = f"user {getpass.getuser()};" if os.geteuid() == 0 else ""
    values = {"modules": loaded, "user": user, "folder": folder, "made": made}
    values |= {"port": port, "protocol": protocol, "connections": connections}
    config.write_text(CONFIG.format(**values))
    return [program, "-p", str(folder), "-c", str(config), "-e", f"{folder}/error.log"]


def listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0
