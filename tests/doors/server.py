"""A real nginx with one of the doors in it, as a child on a loopback port."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from backoffice.demo.children import Child, wait_until
from backoffice.demo.ports import lasting_port
from tests import nginx
from tests.journeys.site import ROOT, Site

SNIPPETS = ROOT / "deploy" / "nginx"
START_SECONDS = 10

CONFIG = """
{modules}
daemon off;
worker_processes 2;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log info;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server_tokens off;
    include {made}/http.conf;
    server {{
        listen 127.0.0.1:{port};
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
def running_nginx(site: Site, folder: Path, door: str, *options: str) -> Iterator[str]:
    """Starts nginx with this door before the site; gives its address."""
    found = nginx.find()
    assert found
    program, modules = found
    port, made = lasting_port(), folder / "made"
    folder.mkdir(parents=True, exist_ok=True)
    site_address = site.url.removeprefix("http://").replace("localhost", "127.0.0.1")
    site.manage(
        *("export_nginx", str(made), "--door", door, "--site", site_address), *options
    )
    config = folder / "nginx.conf"
    loaded = "\n".join(f"load_module {modules / name};" for name in nginx.MODULES)
    config.write_text(
        CONFIG.format(modules=loaded, folder=folder, made=made, port=port)
    )
    # Workers of a root master become another user, who may not read our folders.
    command = [program, "-p", str(folder), "-c", str(config)]
    child = Child("nginx", [*command, *_as_ourselves()], log=folder / "output.log")
    try:
        wait_until(lambda: not child.is_alive() or _listens(port), START_SECONDS)
        assert child.is_alive(), child.last_lines(20)
        yield f"http://localhost:{port}"
    finally:
        child.stop()


def _as_ourselves() -> list[str]:
    import getpass

    return ["-g", f"user {getpass.getuser()};"]


def _listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0
