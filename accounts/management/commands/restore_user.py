from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.db import DatabaseError
from django.db.models import Q

from accounts import suspension
from accounts.management.suspending import (
    SCHEMA,
    add_person,
    failed,
    issuer_of,
    reason,
    usage,
)
from accounts.models import Suspension, User
from accounts.suspension import Person

BY = "restore_user"


class Command(BaseCommand):
    """Needs the database and nothing else: what was ended stays ended."""

    help = (
        "Lifts the suspension of one person, who can then sign in again. Exit codes: "
        "0 lifted, 1 nothing done, 2 wrong usage."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_person(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            person = _person(options["name"], options["provider"])
            lifted = suspension.lift(person, by=BY, reason=reason(options))
        except DatabaseError as error:
            raise failed(
                f"The database does not answer ({type(error).__name__}). "
                "Nothing was done."
            ) from error
        if not lifted:
            raise failed(f"{person.label} is no longer suspended.")
        if options["json"]:
            content = {
                "schema": SCHEMA,
                "issuer": person.issuer,
                "sub": person.sub,
                "email": person.email,
                "lifted": lifted,
            }
            self.stdout.write(json.dumps(content))
        else:
            self.stdout.write(f"{person.label} can sign in again.")


def _person(name: str, provider: str | None) -> Person:
    """The suspended person of this name, also one who has no account."""
    rows = Suspension.objects.in_effect()
    if provider is not None:
        rows = rows.filter(issuer=issuer_of(provider))
    named = Q(sub=name) | Q(email=name.lower()) | Q(name__iexact=name)
    for user in User.objects.named(name):
        named |= Q(issuer=user.issuer, sub=user.sub)
    found = {(row.issuer, row.sub, row.email): row for row in rows.filter(named)}
    people = {
        (issuer, sub or email): Person(
            issuer, sub, email, found[issuer, sub, email].name
        )
        for issuer, sub, email in found
    }
    if not people:
        raise failed(f"Nobody who is suspended is known as {name!r}.")
    if len(people) > 1:
        who = "; ".join(f"{sub} at {issuer}" for issuer, sub in people)
        raise usage(f"{name!r} is not one person: {who}. Give a sub, or --provider.")
    ((_, person),) = people.items()
    return person
