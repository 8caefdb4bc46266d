from __future__ import annotations

import json
import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from backoffice.proxy.errors import DoorError, RouteTableError
from backoffice.proxy.export import exported
from backoffice.proxy.nginx import Door, Nginx
from backoffice.proxy.nginx_lines import problem
from backoffice.proxy.route_file import load_routes
from backoffice.proxy.routes import RouteTable
from backoffice.proxy.script_door import door_rules

SNIPPETS = settings.BASE_DIR / "deploy" / "nginx"
# As docs/doors.md has it.
NOT_WITHOUT_LUA = (
    "end open streams and WebSockets with their session",
    "keep to `total_timeout`",
    "keep to a route's `max_header`: nginx has one limit for all",
    "count `Max-Forwards`",
    "refuse an `Expect` of another kind than `100-continue`",
    "read a second line of `Upgrade` or `Via`",
    "refuse bare line feeds, lines that are no fields, or a version like `1.01`",
    "refuse an answer of 1xx, of two lengths, or without a status line",
    "drop the fields that `Connection` names, either way",
    "let an upstream have `cookies`: a table that names some is refused",
)


class Command(BaseCommand):
    """Writes whole files or none: nginx must never read half a rule."""

    requires_system_checks = ()
    help = (
        "Writes the route table as nginx configuration (docs/doors.md). "
        "Run it again, and reload nginx, when the table or a secret changes."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", type=Path, help="where the files go")
        parser.add_argument("--door", type=Door, choices=list(Door), required=True)
        parser.add_argument(
            "--without-lua",
            dest="lua",
            action="store_false",
            help="door `check` for an nginx that has no Lua; it can do less",
        )
        parser.add_argument(
            "--snippets", type=Path, default=SNIPPETS, help="where deploy/nginx lies"
        )
        parser.add_argument(
            "--site",
            default=f"127.0.0.1:{settings.PORT}",
            help="host:port where this site answers nginx",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        folder = Path(options["folder"]).resolve()
        try:
            files = _files(folder, options)
        except (DoorError, RouteTableError) as error:
            raise CommandError(str(error)) from error
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            _write(folder / name, content)
        if not options["lua"]:
            lines = ["Without Lua this door does not:", *NOT_WITHOUT_LUA]
            self.stderr.write("\n- ".join(lines))


def _files(folder: Path, options: dict[str, Any]) -> dict[str, str]:
    door, lua = options["door"], options["lua"]
    if door is Door.SCRIPT and not lua:
        raise DoorError("--without-lua: the script is Lua; only door `check` can be so")
    file = settings.ROUTES_FILE
    rules = exported(RouteTable() if file is None else load_routes(file))
    snippets, site = str(options["snippets"]), options["site"]
    files = Nginx(rules, door, str(folder), snippets, site, lua).files()
    if lua:
        for word, refusal in rules["refusals"].items():
            refusal["body"] = problem(word, refusal) if refusal["detail"] else ""
        rules["door"] = door_rules(site, judges=door is Door.SCRIPT)
        files["gate.json"] = json.dumps(rules, ensure_ascii=False)
    return files


def _write(path: Path, content: str) -> None:
    """Readable by its owner alone: gate.json holds keys."""
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(
        os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w"
    ) as f:
        f.write(content)
    draft.replace(path)
