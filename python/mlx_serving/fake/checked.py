"""An engine that is watched, for the tests of this project: what a runner keeps is checked while it
works, and what it holds of memory is written down.

The environment variable MLX_SERVING_CHECKS names a file to which each worker appends lines. Nothing
is watched without it. A contradiction ends the worker, as any exception of a step does.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from ..engine import Engine, Forcing, Host, Loaded, PrefillProgress, Runner, StepOutput
from ..grammar.matcher import Matcher
from ..log import log
from ..messages import Admission, LoadOptions, ModelSource

CHECKS_VARIABLE: Final = "MLX_SERVING_CHECKS"
# Steps between two checks, and between two lines. Both come when there is nothing to do, too.
CHECK_STEPS: Final = 16
LINE_STEPS: Final = 64


@dataclass(slots=True)
class Seen:
    """Of one worker since its start. Bytes are the most that were held after a step; `removed`:
    requests that were cancelled, by how far they were."""

    pid: int = field(default_factory=os.getpid)
    steps: int = 0
    checks: int = 0
    evictions: int = 0
    prefix_bytes: int = 0
    kv_bytes: int = 0
    both_bytes: int = 0
    memory_bytes: int = 0
    removed: dict[str, int] = field(
        default_factory=lambda: {"waiting": 0, "prefill": 0, "decode": 0}
    )


def checked(engine: Engine) -> Engine:
    """The engine itself, unless the environment asks for checks."""
    path = os.environ.get(CHECKS_VARIABLE)
    return CheckedEngine(engine, Path(path)) if path else engine


class CheckedEngine:
    def __init__(self, engine: Engine, path: Path) -> None:
        self._engine = engine
        self._path = path
        self.name = engine.name

    def describe(self) -> tuple[dict[str, str], str]:
        return self._engine.describe()

    def load(self, model: ModelSource, options: LoadOptions, host: Host) -> tuple[Loaded, Runner]:
        log(f"{CHECKS_VARIABLE} is set: this worker checks itself, for tests")
        stages = Stages()
        loaded, runner = self._engine.load(model, options, CheckedHost(host, stages))
        return loaded, CheckedRunner(runner, stages, self._path)


class Stages:
    """How far each request is, as far as its worker has said it."""

    def __init__(self) -> None:
        self._stages: dict[int, str] = {}

    def came(self, id: int) -> None:
        self._stages[id] = "waiting"

    def prefilled(self, progress: PrefillProgress) -> None:
        if progress.id in self._stages:
            self._stages[progress.id] = "prefill"

    def stepped(self, output: StepOutput) -> None:
        for progress in output.prefills:
            self.prefilled(progress)
        for row in output.rows:
            self._stages[row[0]] = "decode"
        for end in output.ends:
            self._stages.pop(end.id, None)

    def left(self, id: int) -> str | None:
        return self._stages.pop(id, None)


class CheckedHost:
    def __init__(self, host: Host, stages: Stages) -> None:
        self._host = host
        self._stages = stages
        self.loading = host.loading
        self.busy = host.busy

    def prefilled(self, progress: PrefillProgress) -> None:
        self._stages.prefilled(progress)
        self._host.prefilled(progress)


class CheckedRunner:
    def __init__(self, runner: Runner, stages: Stages, path: Path) -> None:
        self._runner = runner
        self._stages = stages
        self._path = path
        self._seen = Seen()
        self.delay_seconds = runner.delay_seconds
        self.figures = runner.figures

    def insert(
        self, request: Admission, matcher: Matcher | None = None, forcing: Forcing | None = None
    ) -> None:
        self._runner.insert(request, matcher, forcing)
        self._stages.came(request.id)

    def remove(self, id: int) -> None:
        stage = self._stages.left(id)
        if stage is not None:
            self._seen.removed[stage] += 1
        self._runner.remove(id)
        if self.delay_seconds() is None:
            self.check()
            self._write()

    def step(self) -> StepOutput:
        output = self._runner.step()
        self._stages.stepped(output)
        self._look()
        idle = self.delay_seconds() is None
        if idle or self._seen.steps % CHECK_STEPS == 0:
            self.check()
        if idle or self._seen.steps % LINE_STEPS == 0:
            self._write()
        return output

    def check(self) -> None:
        self._seen.checks += 1
        self._runner.check()

    def _look(self) -> None:
        figures, seen = self._runner.figures(), self._seen
        seen.steps += 1
        seen.kv_bytes = max(seen.kv_bytes, figures.kv_bytes)
        seen.prefix_bytes = max(seen.prefix_bytes, figures.prefix_cache_bytes)
        seen.both_bytes = max(seen.both_bytes, figures.kv_bytes + figures.prefix_cache_bytes)
        seen.memory_bytes = max(seen.memory_bytes, figures.memory_bytes)
        if figures.prefix_counts is not None:
            seen.evictions = figures.prefix_counts.evictions

    def _write(self) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(self._seen)) + "\n")
