"""What the commands about suspensions share: who is meant, and a reason."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.db import DatabaseError

from accounts.management import people
from accounts.management.exit_codes import ExitCode
from accounts.models import Suspension, User
from accounts.sso import providers
from accounts.suspension import Person

SCHEMA = 1
ALIVE_AT_PROVIDER = (
    "Their session at the provider is still alive: to keep a person out of this site, "
    "use suspend_user; to end it everywhere, end it at the provider."
)
STILL_AT_PROVIDER = (
    "Their session at the provider is still alive: it no longer opens this site, but "
    "end it there, too, if it should open no other."
)


def add_person(parser: ArgumentParser) -> None:
    """NAME, a provider where a name could be two people's, and a reason."""
    parser.add_argument(
        "name", type=_text(255), metavar="NAME", help="user name, e-mail or sub"
    )
    parser.add_argument(
        "--provider", metavar="NAME", help="only somebody of this one, as in oidc"
    )
    parser.add_argument(
        "--reason",
        type=_text(Suspension.MAX_REASON),
        metavar="TEXT",
        help="kept in the audit; without it the command asks for one",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")


def known(name: str, provider: str | None) -> dict[tuple[str, str], str]:
    """Whoever is known by this name, at this provider or at any: who, in words.

    Raises CommandError for a provider that is none, SessionStoreError without SQL.
    """
    found = people.named(name)
    if provider is None:
        return found
    issuer = issuer_of(provider)
    return {key: words for key, words in found.items() if key[0] == issuer}


def issuer_of(provider: str | None) -> str:
    """The issuer of the provider of this name, or of the only one."""
    if provider is None and len(settings.PROVIDERS) == 1:
        return str(settings.PROVIDERS[0].issuer)
    found = providers.named(provider)
    if found is None:
        names = ", ".join(each.name for each in settings.PROVIDERS)
        raise usage(f"Say which provider: --provider with one of {names}.")
    return found.issuer


def the_one(found: dict[tuple[str, str], str], name: str) -> Person:
    """The only person found. Raises CommandError for several: one is suspended."""
    if len(found) > 1:
        who = "; ".join(
            f"{words}, sub {sub} at {issuer}" for (issuer, sub), words in found.items()
        )
        raise usage(f"{name!r} is not one person: {who}. Give a sub, or --provider.")
    ((issuer, sub),) = found
    try:
        user = User.objects.filter(identity=User.identity_of(issuer, sub)).first()
    except DatabaseError:
        user = None
    return Person.of(user) if user else Person(issuer, sub)


def reason(options: dict[str, Any]) -> str:
    """The reason given, or asked for where somebody is there to be asked."""
    if options["reason"]:
        return str(options["reason"])
    if not sys.stdin.isatty():
        raise usage("Say why: --reason.")
    sys.stderr.write("Reason: ")
    sys.stderr.flush()
    try:
        return str(_text(Suspension.MAX_REASON)(input()))
    except ArgumentTypeError as error:
        raise usage(f"A reason {error}.") from None


def usage(text: str) -> CommandError:
    return CommandError(text, returncode=ExitCode.WRONG_USAGE)


def failed(text: str) -> CommandError:
    return CommandError(text, returncode=ExitCode.FAILED)


def _text(longest: int) -> Any:
    def text(given: str) -> str:
        if not given.strip() or len(given) > longest or not given.isprintable():
            raise ArgumentTypeError(
                f"must be a text of one line and at most {longest} characters"
            )
        return given.strip()

    return text
