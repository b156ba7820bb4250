"""`python -m families`: compares all families, and writes what was seen.

`--one FAMILY` compares one here and prints it as JSON; `--only A B` compares these and writes
nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "MODELS.md"
TABLE: Final = ROOT / "python" / "mlx_serving" / "models" / "families.json"


def main() -> None:
    parser = argparse.ArgumentParser(prog="families")
    parser.add_argument("--one", help="compare this family here, and print it as JSON")
    parser.add_argument("--only", nargs="+", help="compare these, and write nothing")
    parser.add_argument("--jobs", type=int, default=max(1, (os.cpu_count() or 2) // 2))
    arguments = parser.parse_args()
    if arguments.one:
        from .compare import compare

        print(json.dumps(vars(compare(arguments.one))))
        return
    sys.exit(_all(arguments.only, arguments.jobs))


def _all(only: list[str] | None, jobs: int) -> int:
    """The exit code: 1 where a family's tokens are not mlx-lm's."""
    from . import report
    from .build import why_none
    from .run import Result, counted, is_right, modules, run

    def told(result: Result) -> None:
        right = result.seen is not None and is_right(result.seen)
        sign = "✓" if right else "✗" if result.seen else "–"
        print(f"{sign} {result.family}  {result.why or ''}", flush=True)

    results = run(only or modules(), why_none(), jobs, told)
    if only is None:
        PAGE.write_text(report.page(results), "utf-8")
        TABLE.write_text(report.table(results), "utf-8")
    for name, count in counted(results):
        print(f"{count} {name}")
    return int(any(result.seen is not None and not is_right(result.seen) for result in results))


if __name__ == "__main__":
    main()
