from __future__ import annotations

import csv
import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.utils import timezone

from accounts import audit
from accounts.audit import chain
from accounts.audit.export import FIELDS, Extract, Form, lines
from accounts.models import AuditEntry

pytestmark = pytest.mark.django_db
NOW = timezone.now()


@pytest.fixture(autouse=True)
def _entries() -> None:
    for days, event, name in (
        (3, audit.Event.SIGNED_IN, "haneul"),
        (2, audit.Event.KILLED, "haneul"),
        (1, audit.Event.KILLED, "minsu"),
    ):
        audit.record(event, subject=name, at=NOW - timedelta(days=days))


def exported(**wanted: Any) -> list[dict[str, Any]]:
    entries = Extract(**wanted).entries()
    return [json.loads(line) for line in lines(entries, Form.JSON_LINES)]


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        ({}, [1, 2, 3]),
        ({"since": NOW - timedelta(days=2)}, [2, 3]),
        ({"until": NOW - timedelta(days=2)}, [1]),
        ({"events": ("session:killed",)}, [2, 3]),
        ({"events": ("session:killed", "session:signed-in")}, [1, 2, 3]),
        ({"subject": "haneul"}, [1, 2]),
        ({"subject": "haneul", "events": ("session:killed",)}, [2]),
        ({"actor": "nobody"}, []),
    ],
)
def test_filters_combine(wanted: dict[str, Any], numbers: list[int]) -> None:
    assert [line["sequence"] for line in exported(**wanted)] == numbers


def test_line_has_everything_that_its_hash_is_made_of() -> None:
    line, row = exported()[1], AuditEntry.objects.get(pk=2)
    assert tuple(sorted(line)) == tuple(sorted(FIELDS))
    assert line["at"].endswith("+00:00")
    assert line["hash"] == chain.digest_of(row, 2, line["previous"])


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@a", "\t=1", "\r=1", " =1", "＝1"]
)
def test_csv_holds_no_formula(text: str) -> None:
    audit.record(audit.Event.KILLED, reason=text, actor='a"b,c\nd')
    table = "".join(lines(Extract().entries(), Form.CSV))
    last = list(csv.DictReader(StringIO(table, newline="")))[-1]
    assert last["reason"] == f"'{text}"
    assert last["actor"] == 'a"b,c\nd'
