"""The files in deploy/ are what nginx takes, and keep to themselves what is secret."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from tests import nginx
from tests.doors.house import Door, House
from tests.doors.server import running_nginx
from tests.fakes.certificate import write_certificate
from tests.journeys.site import ROOT, Site
from tests.ports import reserved_port

EXAMPLE = ROOT / "deploy" / "nginx" / "example.conf"
COMPOSE = ROOT / "deploy" / "compose.yaml"
DEBIAN_CONFIG = Path("/etc/nginx/nginx.conf")
DOCS = ROOT / "docs" / "doors.md"
ADDRESS = "127.0.0.1:9000"
PLAIN = "--without-lua"


def export(house: House, folder: Path, *options: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    site = without_cookies(house, folder) if PLAIN in options else house.site
    site.manage("export_nginx", str(folder), "--site", ADDRESS, *options)
    return folder


def without_cookies(house: House, folder: Path) -> Site:
    """The site with a route table that nginx can keep to without Lua."""
    table = Path(house.site.environment["ROUTES_FILE"]).read_text(encoding="utf-8")
    routes = folder / "routes.toml"
    routes.write_text(re.sub("^cookies = .*$", "", table, flags=re.M), encoding="utf-8")
    environment = house.site.environment | {"ROUTES_FILE": str(routes)}
    return replace(house.site, environment=environment)


@pytest.mark.parametrize("options", [["check"], ["check", PLAIN], ["script"]])
def test_nginx_takes_the_example(
    house: House, tmp_path: Path, options: list[str]
) -> None:
    made = export(house, tmp_path / "made", "--door", *options)
    assert "[warn]" not in accepted_example(tmp_path, made)


@pytest.mark.parametrize("options", [["check"], ["script"]])
def test_nginx_takes_every_name_of_a_route(
    house: House, tmp_path: Path, options: list[str]
) -> None:
    names = [
        "site",
        "a",
        "a-target",
        "m" * 63,
        "n" * 63,
        *("staff-directory", "x" * 33),
    ]
    table = tmp_path / "routes.toml"
    table.write_text(
        "".join(
            f'[[route]]\nname = "{name}"\nupstream = "http://127.0.0.1:9"\n'
            f'keepalive = "{keepalive}"\nprefix = "{number}"\n'
            for number, name in enumerate(names)
            for keepalive in ["shared" if number % 2 else "person"]
        )
    )
    site = replace(
        house.site, environment=house.site.environment | {"ROUTES_FILE": str(table)}
    )
    site.manage(
        "export_nginx", str(tmp_path / "made"), "--site", ADDRESS, "--door", *options
    )
    accepted_example(tmp_path, tmp_path / "made")


def accepted_example(tmp_path: Path, made: Path) -> str:
    """What nginx says to the example with these rules, which it accepts."""
    write_certificate(tmp_path / "cert.pem")
    shutil.copy(tmp_path / "cert.pem", tmp_path / "key.pem")
    text = EXAMPLE.read_text(encoding="utf-8")
    for known, ours in {
        "/etc/backoffice/nginx": str(made),
        "/etc/ssl/backoffice": str(tmp_path),
        "listen 80": f"listen 127.0.0.1:{reserved_port()}",
        "listen 443": f"listen 127.0.0.1:{reserved_port()}",
    }.items():
        assert known in text
        text = text.replace(known, ours)
    program, modules = nginx.find() or ("", Path())
    loaded = "".join(f"load_module {modules / name};\n" for name in nginx.MODULES)
    config = tmp_path / "nginx.conf"
    config.write_text(
        f"{loaded}pid {tmp_path}/pid;\nevents {{}}\nhttp {{\n{text}\n}}\n",
        encoding="utf-8",
    )
    command = [program, "-t", "-p", str(tmp_path), "-c", str(config), "-e", "stderr"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    return found.stderr


@pytest.mark.skipif(
    shutil.which("dpkg-query") is None or not DEBIAN_CONFIG.exists(),
    reason="needs Debian's nginx",
)
def test_the_nginx_of_compose_takes_what_compose_exports(
    house: House, tmp_path: Path
) -> None:
    """Its packages, its export and Debian's own nginx.conf, as in that image."""
    text = COMPOSE.read_text(encoding="utf-8")
    (asked,) = re.findall(r"manage\.py export_nginx (\S+) (.*?)\n    vol", text, re.S)
    (installed,) = re.findall(r"--no-install-recommends (.*?) &&", text)
    folder, options = asked[0], asked[1].split()
    made = tmp_path / "made"
    # Names of the network of the containers, and where they see our files.
    ours = {"site:8000": ADDRESS, "/etc/backoffice/snippets": str(EXAMPLE.parent)}
    export(house, made, *(ours.get(option, option) for option in options))
    write_certificate(tmp_path / "cert.pem")
    shutil.copy(tmp_path / "cert.pem", tmp_path / "key.pem")
    example = EXAMPLE.read_text(encoding="utf-8")
    (tmp_path / "conf.d").mkdir()
    site = tmp_path / "conf.d" / "backoffice.conf"
    site.write_text(
        replaced(
            example,
            {
                folder: str(made),
                "/etc/ssl/backoffice": str(tmp_path),
                "listen 80": f"listen 127.0.0.1:{reserved_port()}",
                "listen 443": f"listen 127.0.0.1:{reserved_port()}",
            },
        )
    )
    config = tmp_path / "nginx.conf"
    loaded = "".join(f"load_module {each};\n" for each in modules_of(installed.split()))
    config.write_text(
        replaced(
            DEBIAN_CONFIG.read_text(encoding="utf-8"),
            {
                "include /etc/nginx/modules-enabled/*.conf;": loaded,
                "/etc/nginx/conf.d": str(site.parent),
                "include /etc/nginx/sites-enabled/*;": "",
                "/run/nginx.pid": f"{tmp_path}/pid",
                "/var/log/nginx": str(tmp_path),
            },
        )
    )
    program, _ = nginx.find() or ("", Path())
    command = [program, "-t", "-p", str(tmp_path), "-c", str(config), "-e", "stderr"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    # What the modules themselves need at run time.
    assert set(nginx.PACKAGES) <= set(installed.split())


def replaced(text: str, changes: dict[str, str]) -> str:
    for known, ours in changes.items():
        assert known in text, known
        text = text.replace(known, ours)
    return text


def modules_of(packages: list[str]) -> list[str]:
    """The modules that these packages bring, what they depend on first."""
    found: list[str] = []
    for package in packages:
        if not package.startswith("libnginx-mod-"):
            continue
        needed = query("-W", "-f", "${Depends}", package)
        found += modules_of(re.findall(r"libnginx-mod-[\w-]+", needed))
        found += re.findall(r"^/.*/modules/.*\.so$", query("-L", package), re.M)
    return found


def query(*arguments: str) -> str:
    command = ["dpkg-query", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_the_script_s_rules_hold_derived_keys_for_their_owner_alone(
    house: House, tmp_path: Path
) -> None:
    file = export(house, tmp_path, "--door", "script") / "gate.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert house.site.environment["SECRET_KEY"] not in file.read_text(encoding="utf-8")
    assert len(json.loads(file.read_bytes())["door"]["secrets"]) == 1


def test_forward_auth_gets_no_keys(house: House, tmp_path: Path) -> None:
    made = export(house, tmp_path / "lua", "--door", "check")
    assert set(json.loads((made / "gate.json").read_bytes())["door"]) == {"site"}
    made = export(house, tmp_path / "plain", "--door", "check", PLAIN)
    assert not (made / "gate.json").exists()


def test_the_script_needs_a_store_user_that_can_only_read(
    house: House, key: str, tmp_path: Path
) -> None:
    (rule,) = re.findall(r"ACL SETUSER nginx (.*)", DOCS.read_text(encoding="utf-8"))
    store = redis.Redis.from_url(house.site.store.url)
    store.execute_command("ACL", "SETUSER", "nginx", "reset", *rule.split())
    url = house.site.store.url.replace("://", "://nginx:PASSWORD@")
    reader = replace(
        house.site, environment=house.site.environment | {"REDIS_URL": url}
    )
    try:
        with running_nginx(reader, tmp_path, "script") as address:
            door = Door(replace(house, site=reader), "script", address)
            assert door.ask("/api/proxy/echo/", key=key).status == 200
            assert door.ask("/api/proxy/echo/", key="a" * 32).status == 401
    finally:
        store.execute_command("ACL", "DELUSER", "nginx")
        store.close()


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("redis+sentinel://127.0.0.1:1/sessions", "sentinel"),
        ("redis+cluster://127.0.0.1:1", "cluster"),
    ],
)
def test_a_store_that_the_script_cannot_ask_is_refused(
    house: House, tmp_path: Path, url: str, word: str
) -> None:
    found = manage(house, {"REDIS_URL": url}, str(tmp_path), "--door", "script")
    assert found.returncode == 1
    assert word in found.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_route_with_cookies_needs_lua(house: House, tmp_path: Path) -> None:
    routes = tmp_path / "routes.toml"
    routes.write_text(
        '[[route]]\nname = "a"\nupstream = "http://x"\ncookies = ["theme"]\n'
    )
    made, changes = str(tmp_path / "made"), {"ROUTES_FILE": str(routes)}
    found = manage(house, changes, made, "--door", "check", PLAIN)
    assert found.returncode == 1
    assert "routes.toml:4: a: cookies: " in found.stderr
    assert not Path(made).exists()
    assert manage(house, changes, made, "--door", "check").returncode == 0


def manage(
    house: House, changes: dict[str, str], *arguments: str
) -> subprocess.CompletedProcess[str]:
    site = replace(house.site, environment=house.site.environment | changes)
    return site.manage("export_nginx", *arguments, check=False)
