"""The log: lines on stderr, which the orchestrator passes on."""

from __future__ import annotations

import contextlib
import sys


def log(text: str) -> None:
    # Whoever reads the log may be gone already; that is no reason to stay.
    with contextlib.suppress(OSError, ValueError):
        print(f"worker: {text}", file=sys.stderr, flush=True)
