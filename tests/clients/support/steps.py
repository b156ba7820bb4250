"""What a program of this folder does, step by step.

Its last line tells `scripts/lib/clients/run.mjs` of each.
"""

import json
import os
import sys
import traceback
from collections.abc import Callable

PROBLEM_CHARS_MAX = 200

url = os.environ["CLIENT_URL"]
model = os.environ["CLIENT_MODEL"]
greeting = "Hello from the script."
colour = {"colour": "green", "count": 3}


def run_steps(steps: dict[str, Callable[[], object]]) -> None:
    """Each gives what it saw, which must be the same in every run."""
    told = [{"step": step, **_outcome(work)} for step, work in steps.items()]
    print(json.dumps(told), flush=True)


def _outcome(work: Callable[[], object]) -> dict[str, object]:
    try:
        return {"saw": work()}
    except Exception as error:  # whatever a client raises is the outcome of its step
        traceback.print_exc(file=sys.stderr)
        return {"problem": f"{type(error).__name__}: {error}"[:PROBLEM_CHARS_MAX]}


def same(actual: object, expected: object) -> object:
    """Raises with both where they differ."""
    if actual != expected:
        raise AssertionError(f"{actual!r} instead of {expected!r}")
    return actual
