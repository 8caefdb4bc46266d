from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

README = Path(__file__).resolve().parent.parent / "README.md"
BEGIN = "<!-- sessions: begin (written by python -m benchmarks.sessions) -->"
END = "<!-- sessions: end -->"
HEADING = "# Benchmarks\n\nEach is a figure of one machine, on one day.\n"


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Markdown, in columns that can be read as they stand."""
    cells = [[str(cell) for cell in row] for row in [heads, *rows]]
    widths = [max(len(row[n]) for row in cells) for n in range(len(heads))]
    lines = [_line(row, widths) for row in cells]
    rule = ["-" * (width - 1) + ("-" if n == 0 else ":") for n, width in _each(widths)]
    return "\n".join([lines[0], "| " + " | ".join(rule) + " |", *lines[1:]])


def circumstances(server: dict[str, Any], runs: int) -> str:
    """Where and when: a figure without these says nothing."""
    name = server.get("server_name", "redis")
    version = server.get("valkey_version", server.get("redis_version"))
    return "\n".join(
        [
            f"- {datetime.now(UTC):%Y-%m-%d}, {_processor()}, {os.cpu_count()} cores",
            f"- Python {platform.python_version()}, {name} {version}"
            f" ({server.get('mem_allocator', 'unknown allocator')}),"
            " append-only file, Unix socket",
            f"- medians of {runs} runs; the ratio of check and GET is each run's own;"
            " sizes are measured one after the other,\n  so beside the clock, which"
            " shows what else the machine did, stands our processor's own time",
        ]
    )


def write(text: str, readme: Path = README) -> None:
    """Puts the text between the markers; other benchmarks have their own."""
    old = readme.read_text(encoding="utf-8") if readme.exists() else HEADING
    block = f"{BEGIN}\n\n{text.strip()}\n\n{END}"
    between = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.DOTALL)
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
