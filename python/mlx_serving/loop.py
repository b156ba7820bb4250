"""The engine thread: loads a model, takes commands, steps the runner, hands its output to the link
thread.

This is the process's main thread and the only one that calls the engine (and so MLX). It never
touches the socket, and it sees no text.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Event
from typing import Final, Protocol

from .acceleration import module_parts, require
from .engine import (
    DiskCounts,
    Engine,
    Forcing,
    Loaded,
    PrefillProgress,
    PrefixCounts,
    Runner,
    StepOutput,
    failed,
)
from .failures import LoadFailed, Refused
from .grammar.matcher import Matcher
from .messages import Admission, DiskFigures, Load, PrefixFigures, Telemetry

TELEMETRY_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Insert:
    """Requests of one `admit`: one command, so that no step comes between them. `matchers`: of
    those that are kept to a grammar, `forcings`: of those in which tokens may be forced, by id."""

    requests: list[Admission]
    matchers: Mapping[int, Matcher] = field(default_factory=dict)
    forcings: Mapping[int, Forcing] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Remove:
    """Forget a request. `answer`: the orchestrator waits for `aborted`."""

    id: int
    answer: bool


@dataclass(frozen=True, slots=True)
class Credit:
    """So many more decode steps may be sent before the next acknowledgement."""

    steps: int


@dataclass(frozen=True, slots=True)
class Finish:
    """The process ends next: what would be lost with it is written now, within so many seconds."""

    seconds: float
    done: Event = field(default_factory=Event)


Command = Load | Insert | Remove | Credit | Finish


class Reports(Protocol):
    """Where the engine thread's results go. All may be called from any thread."""

    def loading(self, done: float, total: float, what: str) -> None: ...
    def busy(self, reason: str, allowance_ms: float) -> None: ...
    def prefilled(self, progress: PrefillProgress) -> None: ...
    def loaded(self, loaded: Loaded) -> None: ...
    def load_failed(self, failure: LoadFailed) -> None: ...
    def refused(self, id: int, refusal: Refused) -> None: ...
    def removed(self, id: int) -> None: ...
    def stepped(self, output: StepOutput) -> None: ...
    def telemetry(self, body: Telemetry) -> None: ...


def run(engine: Engine, commands: SimpleQueue[Command], reports: Reports) -> None:
    """Loads the model that the first command names, and steps it for ever. Returns only when it
    cannot be loaded."""
    load = commands.get()
    if not isinstance(load, Load):
        raise TypeError("the first command must be a load")
    try:
        require(module_parts())
        loaded, runner = engine.load(load.model, load.options, reports)
    except LoadFailed as failure:
        reports.load_failed(failure)
        return
    reports.loaded(loaded)
    loop = EngineLoop(runner, max(1, load.options.unacked_steps_max), commands, reports)
    while True:
        loop.turn()


class EngineLoop:
    def __init__(
        self,
        runner: Runner,
        credits: int,
        commands: SimpleQueue[Command],
        reports: Reports,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`credits`: steps that may be sent before the first acknowledgement."""
        self._runner = runner
        self._credits = credits
        self._commands = commands
        self._reports = reports
        self._now = now
        self._steps = 0
        self._telemetry_due = 0.0
        self._was_working = False

    def turn(self) -> None:
        """Takes all commands that are there, then one step if there is anything to do."""
        for command in self._take(self._wait_seconds()):
            self._obey(command)
        if self._credits > 0 and self._runner.delay_seconds() == 0:
            output = self._runner.step()
            if output.rows:
                self._credits -= 1
                self._steps += 1
            self._reports.stepped(output)
        self._report_telemetry()

    def _wait_seconds(self) -> float | None:
        delay = self._runner.delay_seconds()
        if delay is None:
            return None
        return delay if self._credits > 0 else TELEMETRY_SECONDS

    def _take(self, wait_seconds: float | None) -> Iterator[Command]:
        if wait_seconds != 0:
            try:
                yield self._commands.get(timeout=wait_seconds)
            except Empty:
                return
        while not self._commands.empty():
            yield self._commands.get_nowait()

    def _obey(self, command: Command) -> None:
        if isinstance(command, Credit):
            self._credits += command.steps
        elif isinstance(command, Insert):
            for request in command.requests:
                forcing = command.forcings.get(request.id)
                self._insert(request, command.matchers.get(request.id), forcing)
        elif isinstance(command, Remove):
            self._runner.remove(command.id)
            if command.answer:
                self._reports.removed(command.id)
        elif isinstance(command, Finish):
            self._runner.finish(command.seconds)
            command.done.set()
        else:
            raise TypeError("a model is loaded already")

    def _insert(self, request: Admission, matcher: Matcher | None, forcing: Forcing | None) -> None:
        try:
            self._runner.insert(request, matcher, forcing)
        except Refused as refusal:
            self._reports.refused(request.id, refusal)
        except Exception as error:
            self._runner.remove(request.id)
            self._reports.stepped(StepOutput(ends=[failed(request.id, error)]))

    def _report_telemetry(self) -> None:
        working = self._runner.delay_seconds() is not None
        now = self._now()
        idle_now = self._was_working and not working
        self._was_working = working
        if not idle_now and not (working and now >= self._telemetry_due):
            return
        self._telemetry_due = now + TELEMETRY_SECONDS
        figures = self._runner.figures()
        telemetry: Telemetry = {
            "running": figures.running,
            "waiting": figures.waiting,
            "steps": self._steps,
            "prefixCacheBytes": figures.prefix_cache_bytes,
            "kvBytes": figures.kv_bytes,
            "memoryBytes": figures.memory_bytes,
        }
        if figures.prefix_counts is not None:
            telemetry["prefixes"] = prefixes(figures.prefix_entries, figures.prefix_counts)
        if figures.disk_counts is not None:
            telemetry["prefixDisk"] = disk(figures.disk_counts)
        self._reports.telemetry(telemetry)


def prefixes(entries: int, counts: PrefixCounts) -> PrefixFigures:
    return {
        "entries": entries,
        "hitTokens": counts.hit,
        "neverSeenTokens": counts.never_seen,
        "evictedTokens": counts.evicted,
        "otherSaltTokens": counts.other_salt,
        "belowBlockTokens": counts.below_block,
        "evictions": counts.evictions,
    }


def disk(counts: DiskCounts) -> DiskFigures:
    return {
        "on": counts.on,
        "blocks": counts.blocks,
        "bytes": counts.size_bytes,
        "pending": counts.pending,
        "hits": counts.hits,
        "hitTokens": counts.hit_tokens,
        "misses": counts.misses,
        "writes": counts.writes,
        "drops": counts.drops,
        "evictions": counts.evictions,
        "unfit": counts.unfit,
        "readErrors": counts.read_errors,
        "writeErrors": counts.write_errors,
        "slow": counts.slow,
    }
