"""The log: lines on stderr, which the orchestrator passes on."""

from __future__ import annotations

import contextlib
import sys


def log(text: str) -> None:
    # The log's reader may be gone already; that is no reason to fail.
    with contextlib.suppress(OSError, ValueError):
        print(f"worker: {text}", file=sys.stderr, flush=True)
