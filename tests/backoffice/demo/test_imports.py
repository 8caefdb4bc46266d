from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
DEMO = REPOSITORY / "backoffice" / "demo"


def imported_modules(source: Path) -> Iterator[str]:
    """Every module a file imports, at any depth."""
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def sources() -> Iterator[Path]:
    yield REPOSITORY / "manage.py"
    for package in ("accounts", "backoffice"):
        yield from (REPOSITORY / package).rglob("*.py")


def test_nothing_but_the_demo_imports_the_demo() -> None:
    guilty = [
        source
        for source in sources()
        if not source.is_relative_to(DEMO)
        and any(name.startswith("backoffice.demo") for name in imported_modules(source))
    ]
    assert guilty == []


def test_demo_imports_no_django_and_nothing_of_the_site() -> None:
    foreign = {
        (source.name, name)
        for source in DEMO.glob("*.py")
        for name in imported_modules(source)
        if name.split(".")[0] in {"django", "accounts"}
        or (name.startswith("backoffice.") and not name.startswith("backoffice.demo"))
    }
    assert foreign == set()
