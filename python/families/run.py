"""All families, each in a process of its own: a crash, a hang or a hunger for memory is a row of
the table, not the end of it."""

from __future__ import annotations

import importlib.util
import json
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from .compare import Seen

SECONDS_MAX: Final = 600
MEMORY_BYTES_MAX: Final = 16 << 30
REASON_CHARACTERS_MAX: Final = 200


@dataclass(frozen=True)
class Result:
    """`seen`, or `why` there is nothing to be seen."""

    family: str
    seen: Seen | None
    why: str | None


def modules() -> list[str]:
    """Names of all modules of mlx-lm's models."""
    spec = importlib.util.find_spec("mlx_lm")
    assert spec is not None and spec.origin is not None
    folder = Path(spec.origin).parent / "models"
    return sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")


def run(
    families: list[str], reasons: dict[str, str], jobs: int, told: Callable[[Result], None]
) -> list[Result]:
    def one(family: str) -> Result:
        why = reasons.get(family)
        result = Result(family, None, why) if why else _in_a_process(family)
        told(result)
        return result

    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(one, families))


def _in_a_process(family: str) -> Result:
    command = [sys.executable, "-m", "families", "--one", family]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
            cwd=Path(__file__).parents[1],
            preexec_fn=_bounded,
        )
    except subprocess.TimeoutExpired:
        return Result(family, None, f"it takes more than {SECONDS_MAX} s")
    if done.returncode < 0:
        return Result(family, None, f"its process dies of signal {-done.returncode}")
    if done.returncode > 0:
        return Result(family, None, last_line(done.stderr) or last_line(done.stdout))
    return Result(family, Seen(**json.loads(last_line(done.stdout))), None)


def _bounded() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (
        lines[-1][: REASON_CHARACTERS_MAX if not lines[-1].startswith("{") else None]
        if lines
        else ""
    )


def counted(results: list[Result]) -> Iterator[tuple[str, int]]:
    seen = [result.seen for result in results if result.seen is not None]
    yield "compared", len(seen)
    yield "as mlx-lm alone in everything", sum(is_right(one) for one in seen)
    yield "together in a batch", sum(bool(one.abilities["batch"]) for one in seen)
    yield "with a quantized KV cache", sum(has_kv(one) for one in seen)


def is_right(seen: Seen) -> bool:
    compared = (seen.alone, seen.batch, seen.prefix, seen.resume, seen.kv.get("differs"))
    return compared == (None,) * len(compared)


def has_kv(seen: Seen) -> bool:
    """Whether its keys and values can be quantized."""
    return seen.kv["refused"] is None


def as_json(seen: Seen) -> dict[str, Any]:
    return dict(vars(seen))
