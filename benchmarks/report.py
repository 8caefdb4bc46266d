"""What every benchmark's report is made of; each keeps its own part of README.md."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

README = Path(__file__).resolve().parent / "README.md"
HEADING = "# Benchmarks\n\nEach is a figure of one machine, on one day.\n"


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Markdown, in columns that can be read as they stand."""
    cells = [[str(cell) for cell in row] for row in [heads, *rows]]
    widths = [max(len(row[n]) for row in cells) for n in range(len(heads))]
    lines = [_line(row, widths) for row in cells]
    rule = ["-" * (width - 1) + ("-" if n == 0 else ":") for n, width in _each(widths)]
    return "\n".join([lines[0], "| " + " | ".join(rule) + " |", *lines[1:]])


def machine() -> str:
    """When and on what: a figure without these says nothing."""
    return f"{datetime.now(UTC):%Y-%m-%d}, {_processor()}, {os.cpu_count()} cores"


def write(section: str, text: str, readme: Path = README) -> None:
    """Puts the text between the section's markers; the other sections stay."""
    begin = f"<!-- {section}: begin (written by python -m benchmarks.{section}) -->"
    end = f"<!-- {section}: end -->"
    old = readme.read_text(encoding="utf-8") if readme.exists() else HEADING
    block = f"{begin}\n\n{text.strip()}\n\n{end}"
    between = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if between.search(old):
        new = between.sub(lambda _: block, old)
    else:
        new = f"{old.rstrip()}\n\n{block}\n"
    readme.write_text(new, encoding="utf-8")


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    padded = [
        cell.ljust(widths[n]) if n == 0 else cell.rjust(widths[n])
        for n, cell in enumerate(row)
    ]
    return "| " + " | ".join(padded) + " |"


def _each(widths: Sequence[int]) -> list[tuple[int, int]]:
    return list(enumerate(widths))


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text(encoding="utf-8").splitlines() if facts.exists() else []
    names = [line.partition(":")[2] for line in lines if line.startswith("model name")]
    return names[0].strip() if names else platform.processor() or "unknown processor"
