"""The attack at full length; prints one table, and fails when anything was mixed up."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import astuple, fields
from pathlib import Path

from tests import nginx
from tests.crosstalk.attack import ENTRANCES, KEEPALIVES, Result, attack, running_ground
from tests.crosstalk.client import Tally
from tests.crosstalk.upstreams import KINDS

RESPONSES = 200_000


def main() -> int:
    options = _options()
    if nginx.find() is None:
        sys.stderr.write(nginx.HOW_TO_GET_IT)
        return 2
    results: dict[tuple[str, str], Result] = {}
    with (
        tempfile.TemporaryDirectory(prefix="crosstalk-") as folder,
        running_ground(Path(folder)) as ground,
    ):
        for keepalive in options.keepalive:
            for entrance in options.entrances:
                began = time.monotonic()
                found = attack(
                    ground, entrance, keepalive, options.responses, options.kinds
                )
                results[entrance, keepalive] = found
                taken = time.monotonic() - began
                _say(f"{entrance}, {keepalive}: {found.total} in {taken:.0f} s")
                for example in found.examples[:5]:
                    _say(f"  {example}")
                if options.by_kind:
                    for name, tally in found.kinds.items():
                        _say(f"  {name}: {tally}")
    _say(_table(results))
    # With `shared`, that is what the operator has agreed to.
    wrong = [
        found for (_, keepalive), found in results.items() if keepalive != "shared"
    ]
    return (
        1 if any(each.total.other_person or each.total.altered for each in wrong) else 0
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.crosstalk")
    parser.add_argument("--responses", type=int, default=RESPONSES, help="each time")
    parser.add_argument("--by-kind", action="store_true", help="a line for each kind")
    for name, values, chosen in (
        ("keepalive", KEEPALIVES, "person,off"),
        ("entrances", tuple(ENTRANCES), ",".join(ENTRANCES)),
        ("kinds", tuple(KINDS), ",".join(KINDS)),
    ):
        parser.add_argument(
            f"--{name}",
            type=lambda text: text.split(","),
            default=chosen.split(","),
            help=f"with commas, of {', '.join(values)}",
        )
    return parser.parse_args()


def _table(results: dict[tuple[str, str], Result]) -> str:
    names = [each.name.replace("_", " ") for each in fields(Tally)]
    lines = [f"{'entrance':14}{'keepalive':10}" + "".join(f"{n:>15}" for n in names)]
    for (entrance, keepalive), found in results.items():
        numbers = "".join(f"{number:>15,}" for number in astuple(found.total))
        lines.append(f"{entrance:14}{keepalive:10}{numbers}")
    return "\n".join(lines)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
