"""`python -m formats`: looks at all templates and writes what was seen; `--only A B` looks at these
and writes nothing.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

import llama_cpp_sources

from . import report
from .examine import examine

PAGE: Final = Path(__file__).parents[2] / "docs" / "TOOL-FORMATS.md"


def main() -> int:
    """The exit code: 1 where a template is not whole."""
    parser = argparse.ArgumentParser(prog="formats")
    parser.add_argument("--only", nargs="+", help="look at these, and write nothing")
    only = parser.parse_args().only
    paths = sorted(llama_cpp_sources.folder("templates").glob("*.jinja"))
    seen = []
    for path in paths:
        if only is None or any(part in path.stem for part in only):
            one = examine(path.stem, path.read_text("utf-8"))
            print("✓" if one.whole else "✗", one.name, *one.wrong.items(), flush=True)
            seen.append(one)
    if only is None:
        PAGE.write_text(report.page(seen), "utf-8")
    print(f"{sum(one.whole for one in seen)} of {len(seen)} whole")
    return int(not all(one.whole for one in seen))


if __name__ == "__main__":
    sys.exit(main())
