from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from backoffice.proxy.errors import RouteTableError
from backoffice.proxy.export import exported
from backoffice.proxy.route_file import load_routes
from backoffice.proxy.routes import RouteTable


class Command(BaseCommand):
    """Reads the file itself: what is exported is what a restart would take."""

    requires_system_checks = ()
    help = "Prints the route table and the gate's rules as JSON, for other doors."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--indent", type=int, default=None, help="for people")

    def handle(self, *args: Any, **options: Any) -> None:
        file = settings.ROUTES_FILE
        try:
            table = RouteTable() if file is None else load_routes(file)
        except RouteTableError as error:
            raise CommandError(str(error)) from error
        text = json.dumps(exported(table), indent=options["indent"], ensure_ascii=False)
        self.stdout.write(text)
