from __future__ import annotations

import platform
from typing import Any

from benchmarks.report import machine, table
from benchmarks.report import write as write_section

__all__ = ["circumstances", "table", "write"]


def circumstances(server: dict[str, Any], runs: int) -> str:
    """Where and when: a figure without these says nothing."""
    name = server.get("server_name", "redis")
    version = server.get("valkey_version", server.get("redis_version"))
    return "\n".join(
        [
            f"- {machine()}",
            f"- Python {platform.python_version()}, {name} {version}"
            f" ({server.get('mem_allocator', 'unknown allocator')}),"
            " append-only file, Unix socket",
            f"- medians of {runs} runs; the ratio of check and GET is each run's own;"
            " sizes are measured one after the other,\n  so beside the clock, which"
            " shows what else the machine did, stands our processor's own time",
        ]
    )


def write(text: str) -> None:
    """Into the part of benchmarks/README.md that is ours."""
    write_section("sessions", text)
