"""docs/requirements.md stays true: each row is there, and each test it names."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "requirements.md").read_text(encoding="utf-8")
ROWS = dict(re.findall(r"^\| ([A-Z]+-?\d+) \| (.+) \|$", PAGE, re.MULTILINE))
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def numbered(kind: str, last: int, form: str = "{}{}") -> set[str]:
    return {form.format(kind, number) for number in range(1, last + 1)}


ASKED = (
    numbered("SES", 20, "{}-{:02}")
    | numbered("RED", 14, "{}-{:02}")
    | numbered("K", 9)
    | numbered("R", 11)
    | numbered("D", 2)
    | numbered("C", 3)
    | numbered("W", 2)
    | numbered("PRX", 18, "{}-{:02}")
    | numbered("PTH", 4, "{}-{:02}")
    | numbered("SSR", 2, "{}-{:02}")
    | numbered("HDR", 3, "{}-{:02}")
    | {f"COO-{number:02}" for number in range(4, 11)}
    | numbered("ERR", 1, "{}-{:02}")
    | numbered("U", 9)
)


@cache
def collected(path: str) -> set[str]:
    """What pytest collects from this file."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    functions = (each for each in tree.body if isinstance(each, ast.FunctionDef))
    return {each.name for each in functions if each.name.startswith("test_")}


def test_every_row_is_there_once_and_no_other() -> None:
    found = re.findall(r"^\| ([A-Z]+-?\d+) \|", PAGE, re.MULTILINE)
    assert sorted(found) == sorted(ASKED)


@pytest.mark.parametrize("row", sorted(ASKED))
def test_row_names_tests_that_exist(row: str) -> None:
    _, _, column = ROWS[row].rpartition(" | ")
    named = NAMED.findall(column)
    assert named
    assert len(named) == column.count("`") / 2
    missing = [name for path, name in named if name not in collected(path)]
    assert missing == []
