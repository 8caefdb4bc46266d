from __future__ import annotations

import argparse
from collections.abc import Sequence

SECONDS = 5
ROUNDS = 5


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    print(f"{options.rounds} rounds of {options.seconds} s, of nothing yet")
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.proxy")
    parser.add_argument("--seconds", type=int, default=SECONDS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--only", default="", help="names of subjects, with commas")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
