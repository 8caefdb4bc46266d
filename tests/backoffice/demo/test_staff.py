from __future__ import annotations

from dataclasses import fields

from backoffice.demo.staff import STAFF


def test_cast_has_exactly_one_security_admin() -> None:
    admins = [person for person in STAFF if "security-admins" in person.groups]
    assert [person.username for person in admins] == ["seoyeon.kim"]


def test_cast_has_exactly_one_who_is_not_staff() -> None:
    assert sum("staff" not in person.groups for person in STAFF) == 1


def test_cast_is_told_apart_by_everything_that_names_a_person() -> None:
    for name in ("sub", "username", "email", "name"):
        assert len({getattr(person, name) for person in STAFF}) == len(STAFF)


def test_cast_is_made_up_and_complete() -> None:
    for person in STAFF:
        assert person.email.endswith("@example.com")
        assert all(getattr(person, field.name) for field in fields(person))


def test_cast_reaches_every_group_of_the_routes() -> None:
    groups = {group for person in STAFF for group in person.groups}
    assert {"support", "operations", "finance"} <= groups
