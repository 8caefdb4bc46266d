from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import replace
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from accounts.models import User
from accounts.profile import StaffProfile
from accounts.sessions import live
from accounts.sessions.errors import SessionStoreError
from backoffice.proxy.errors import RouteTableError
from backoffice.proxy.explanation import Explanation, explain, is_for_the_gate
from backoffice.proxy.paths import PREFIX

PASSES, REFUSED, WRONG_USAGE, STORE_UNREACHABLE = range(4)
SCHEMA = 1
# Methods are case-sensitive, and these alone does a browser put in capitals for a page
# (Fetch, 2.2.1): its `patch` stays `patch`.
_CAPITALISED = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"})


class Command(BaseCommand):
    requires_system_checks = ()
    help = (
        "Says which rule of the route table decides about a call, and why. "
        "Exit codes: 0 passes, 1 refused, 2 wrong usage, 3 the store or the database "
        "could not be asked."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("method", metavar="METHOD", type=_as_sent)
        parser.add_argument("path", metavar="PATH", help="as in /api/proxy/members/42")
        parser.add_argument(
            "--as",
            dest="user",
            metavar="USER",
            help="user name, e-mail address or sub; left out: nobody",
        )
        parser.add_argument(
            "--groups",
            metavar="A,B",
            help="groups to assume instead of those of the newest live session",
        )
        parser.add_argument("--json", action="store_true", help="one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        if not is_for_the_gate(options["path"]):
            raise CommandError(
                f"{options['path']!r} is not below {PREFIX}/, where the gate stands.",
                returncode=WRONG_USAGE,
            )
        profile = self._profile(options["user"], options["groups"])
        try:
            found = explain(options["method"], options["path"], profile)
        except RouteTableError as error:
            raise CommandError(str(error), returncode=WRONG_USAGE) from error
        write = self._write_json if options["json"] else self._write_text
        write(options, profile, found)
        if found.word:
            raise SystemExit(REFUSED)

    def _profile(self, name: str | None, groups: str | None) -> StaffProfile | None:
        if name is None:
            return _stranger(groups) if groups is not None else None
        user = self._user(name)
        if groups is not None:
            return replace(_of_user(user), groups=_split(groups))
        return self._newest_profile(user)

    def _user(self, name: str) -> User:
        try:
            people = list(User.objects.named(name)[:2])
        except DatabaseError as error:
            raise CommandError(
                "The database cannot be asked. Use --groups without --as.",
                returncode=STORE_UNREACHABLE,
            ) from error
        if len(people) != 1:
            how_many = "Nobody is" if not people else "More than one person is"
            raise CommandError(f"{how_many} known as {name!r}.", returncode=WRONG_USAGE)
        return people[0]

    def _newest_profile(self, user: User) -> StaffProfile:
        try:
            sessions = live.of_person(user.issuer, user.sub)
        except SessionStoreError as error:
            raise CommandError(
                f"The session store cannot be used: {error.cause}. Add --groups.",
                returncode=STORE_UNREACHABLE,
            ) from error
        if not sessions:
            raise CommandError(
                f"{user.username} has no live session, and groups are known only "
                "from one: add --groups.",
                returncode=WRONG_USAGE,
            )
        return max(sessions, key=lambda session: session.began).profile

    def _write_text(
        self, options: dict[str, Any], profile: StaffProfile | None, found: Explanation
    ) -> None:
        who = f"{profile.username} ({', '.join(profile.groups)})" if profile else "-"
        lines = {
            "call": f"{options['method']} {options['path']}",
            "as": who,
            "rule": f"{found.place}  {found.route.name}" if found.route else "-",
            "sent to": f"{found.route.upstream}  {found.target}"
            if found.route and not found.word
            else "",
            "answer": f"{found.status} {found.word}" if found.word else "passes",
            "why": found.why,
        }
        for name, value in lines.items():
            if value:
                self.stdout.write(f"{name:8} {value}")

    def _write_json(
        self, options: dict[str, Any], profile: StaffProfile | None, found: Explanation
    ) -> None:
        content = {
            "schema": SCHEMA,
            "method": options["method"],
            "path": options["path"],
            "user": profile.username if profile else None,
            "groups": list(profile.groups) if profile else [],
            "passes": not found.word,
            "status": found.status if found.word else None,
            "word": found.word or None,
            "route": found.route.name if found.route else None,
            "place": found.place or None,
            "upstream": found.route.upstream if found.route else None,
            "target": found.target or None,
            "why": found.why,
        }
        self.stdout.write(json.dumps(content, ensure_ascii=False))


def _as_sent(method: str) -> str:
    capitals = method.upper()
    return capitals if capitals in _CAPITALISED else method


def _stranger(groups: str) -> StaffProfile:
    return StaffProfile("", "anyone", "anyone", "", "", "", _split(groups))


def _of_user(user: User) -> StaffProfile:
    return StaffProfile(
        user.issuer, user.sub, user.username, user.name, user.email, "", ()
    )


def _split(groups: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in groups.split(",") if name.strip())
