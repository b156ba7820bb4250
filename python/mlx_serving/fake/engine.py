"""An engine without MLX, for tests, load tests and client development.

Its text depends on the prompt alone and runs to the token limit asked for; `maxBatch` and the
speed of `fakeTokensPerSecond` are kept. A request that says what to say gets that, as a model would
write it. Under a grammar it says something short that is valid. Needs the standard library and
msgpack only, and llguidance for a grammar.

Its faults, for the tests of this project, are in `faults.py`.
"""

from __future__ import annotations

import importlib.metadata
import platform
import time
from dataclasses import dataclass, field
from typing import Final

from ..engine import (
    Abilities,
    Capabilities,
    End,
    EngineFigures,
    Forcing,
    Host,
    Loaded,
    PrefillProgress,
    Row,
    Runner,
    SamplingDefaults,
    StepOutput,
    failed,
)
from ..grammar.grammars import Grammars
from ..grammar.matcher import Matcher
from ..grammar.vocabulary import of_pieces
from ..messages import Admission, LoadOptions, ModelSource, Reading
from ..text.turn_text import turn_text
from .constrained import constrained_token
from .faults import Faults
from .reading import DIMENSIONS, made_up, read
from .script import script_tokens, within_limits
from .text import END_TOKEN, PIECES, VOCABULARY, FakeTextModel, prompt_hash, token_at

CONTEXT_MAX: Final = 131_072
KV_BYTES_PER_TOKEN: Final = 1024
KV_BUDGET_BYTES: Final = 1 << 40
LOAD_REPORT_SECONDS: Final = 0.05


@dataclass(slots=True)
class Sequence:
    id: int
    key: int
    first: int
    """Index of the first token that this process makes."""
    next: int
    end: int
    logprobs: int
    prompt_tokens: int
    prefill_total: int
    script: list[int] | None = None
    matcher: Matcher | None = None
    prefill_done: int = 0
    reading: Reading | None = None
    prompt: list[int] = field(default_factory=list)
    """Of one that is read."""


class FakeEngine:
    name = "fake"

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def describe(self) -> tuple[dict[str, str], str]:
        msgpack_version = importlib.metadata.version("msgpack")
        return {"python": platform.python_version(), "msgpack": msgpack_version}, "fake"

    def load(self, model: ModelSource, options: LoadOptions, host: Host) -> tuple[Loaded, Runner]:
        self._faults.on_load()
        end = time.monotonic() + options.fake_load_ms / 1000
        while (left := end - time.monotonic()) > 0:
            done = options.fake_load_ms - left * 1000
            host.loading(done, options.fake_load_ms, model.id)
            time.sleep(min(left, LOAD_REPORT_SECONDS))
        budget = options.memory_budget_bytes or KV_BUDGET_BYTES
        limits = Capabilities(
            context_max=options.context_max or CONTEXT_MAX,
            kv_bytes_per_token=KV_BYTES_PER_TOKEN,
            kv_bytes_fixed=0,
            weights_bytes=0,
            kv_budget_bytes=budget,
            kv_alone_bytes=budget,
        )
        text = FakeTextModel(self._faults.on_prepare)
        runner = FakeRunner(self._faults, options, limits.context_max, text)
        grammars = Grammars(lambda: of_pieces(PIECES, END_TOKEN), VOCABULARY)
        abilities = Abilities(dimensions=DIMENSIONS)
        loaded = Loaded(limits, text, SamplingDefaults(), {}, abilities, grammars)
        return loaded, runner


class FakeRunner:
    def __init__(
        self, faults: Faults, options: LoadOptions, context_max: int, text: FakeTextModel
    ) -> None:
        self._faults = faults
        self._options = options
        self._context_max = context_max
        self._text = text
        speed = options.fake_tokens_per_second
        self._interval_seconds = 1 / speed if speed > 0 else 0.0
        self._waiting: list[Sequence] = []
        self._running: list[Sequence] = []
        self._step_at = 0.0

    def insert(
        self, request: Admission, matcher: Matcher | None = None, forcing: Forcing | None = None
    ) -> None:
        self._faults.on_prompt(request.prompt)
        first = len(request.emitted)
        script = self._script(request, forcing)
        end = min(request.max_tokens, self._context_max - len(request.prompt))
        self._waiting.append(
            Sequence(
                id=request.id,
                key=prompt_hash(request.prompt),
                first=first,
                next=first,
                end=end if script is None else min(end, len(script)),
                logprobs=request.sampling.logprobs,
                prompt_tokens=len(request.prompt),
                prefill_total=len(request.prompt) + first,
                script=script,
                matcher=matcher,
                reading=request.reading,
                prompt=[] if request.reading is None else request.prompt,
            )
        )

    def _script(self, request: Admission, forcing: Forcing | None) -> list[int] | None:
        """All that it says, from the start: what is out already is a part of it."""
        if request.fake_say is None:
            return None
        script = script_tokens(request.fake_say)
        turn = None if forcing is None else self._text.turn_format(request)
        if turn is None:
            return script
        return within_limits(script, turn_text(self._text, turn, request, {}))

    def remove(self, id: int) -> None:
        self._waiting = [sequence for sequence in self._waiting if sequence.id != id]
        self._running = [sequence for sequence in self._running if sequence.id != id]

    def delay_seconds(self) -> float | None:
        if self._waiting and len(self._running) < self._options.max_batch:
            return 0
        if not self._running:
            return None
        if self._interval_seconds == 0:
            return 0
        return max(0.0, self._step_at - time.monotonic())

    def step(self) -> StepOutput:
        output = StepOutput()
        self._prefill(output)
        if self._running and self._due():
            self._decode(output)
        return output

    def figures(self) -> EngineFigures:
        tokens = sum(sequence.prefill_total + sequence.next for sequence in self._running)
        return EngineFigures(
            running=len(self._running),
            waiting=len(self._waiting),
            prefix_cache_bytes=0,
            kv_bytes=tokens * KV_BYTES_PER_TOKEN,
            memory_bytes=0,
        )

    def check(self) -> None:
        ids = [sequence.id for sequence in (*self._waiting, *self._running)]
        assert len(ids) == len(set(ids)), "a request is there twice"
        assert len(self._running) <= self._options.max_batch, f"{len(self._running)} rows"

    def finish(self, seconds: float) -> None:
        """Nothing of it outlives the process."""

    def _prefill(self, output: StepOutput) -> None:
        """Everything that has room, at once; a chunk of the first one where prefill takes time."""
        slow = self._faults.prefill_ms_per_token > 0
        while self._waiting and len(self._running) < self._options.max_batch:
            sequence = self._waiting[0]
            if not self._has_memory(sequence, output):
                continue
            left = sequence.prefill_total - sequence.prefill_done
            chunk = min(left, max(1, self._options.prefill_chunk_tokens)) if slow else left
            time.sleep(chunk * self._faults.prefill_ms_per_token / 1000)
            sequence.prefill_done += chunk
            total = sequence.prefill_total
            output.prefills.append(PrefillProgress(sequence.id, sequence.prefill_done, total, 0))
            if sequence.prefill_done == total:
                self._prefilled(self._waiting.pop(0), output)
            if slow:
                return

    def _prefilled(self, sequence: Sequence, output: StepOutput) -> None:
        if sequence.reading is not None:
            output.reads.append(read(sequence.id, sequence.prompt, sequence.reading))
        if sequence.end == 0:
            output.ends.append(End(sequence.id, "stop"))
        else:
            self._running.append(sequence)

    def _has_memory(self, sequence: Sequence, output: StepOutput) -> bool:
        """As the MLX engine has it: alone it is to blame, with others the process ends."""
        try:
            self._faults.on_prefill(sequence.prompt_tokens)
        except RuntimeError as error:
            if self._running or len(self._waiting) > 1:
                raise
            self._waiting.pop(0)
            output.ends.append(failed(sequence.id, error))
            return False
        return True

    def _due(self) -> bool:
        if self._interval_seconds == 0:
            return True
        now = time.monotonic()
        if now < self._step_at:
            return False
        # Behind by a step or more: don't make up for lost time in a burst.
        late = now - self._step_at > self._interval_seconds
        self._step_at = (now if late else self._step_at) + self._interval_seconds
        return True

    def _decode(self, output: StepOutput) -> None:
        self._faults.on_step(self._running)
        output.rows = [(s.id, s.next, _token(s), None) for s in self._running]
        finished = told = False
        for sequence in self._running:
            sequence.next += 1
            finished = finished or sequence.next >= sequence.end or sequence.matcher is not None
            told = told or sequence.logprobs >= 0
        if told:
            self._add_logprobs(output)
        if finished:
            self._end(output)

    def _end(self, output: StepOutput) -> None:
        running: list[Sequence] = []
        for sequence, (_, _, token, _) in zip(self._running, output.rows, strict=True):
            end = _ended(sequence, token)
            if end is None:
                running.append(sequence)
            else:
                output.ends.append(end)
        self._running = running

    def _add_logprobs(self, output: StepOutput) -> None:
        rows: list[Row] = []
        for (id, index, token, _), sequence in zip(output.rows, self._running, strict=True):
            count = sequence.logprobs
            rows.append((id, index, token, made_up(token, count) if count >= 0 else None))
        output.rows = rows


def _token(sequence: Sequence) -> int:
    key, index, matcher = sequence.key, sequence.next, sequence.matcher
    if sequence.script is not None:
        return sequence.script[index]
    if matcher is None:
        return token_at(key, index)
    mask = matcher.mask()
    # None: it is free as yet, or has failed.
    token = token_at(key, index) if mask is None else constrained_token(mask, key, index)
    matcher.accept([token])
    return token


def _ended(sequence: Sequence, token: int) -> End | None:
    matcher, script = sequence.matcher, sequence.script
    if matcher is not None and matcher.error is not None:
        return End(sequence.id, "failed", "generation_error", matcher.error)
    if matcher is not None and (matcher.done or token == END_TOKEN):
        return End(sequence.id, "stop")
    if script is not None and sequence.next == len(script):
        return End(sequence.id, "stop")
    return End(sequence.id, "length") if sequence.next >= sequence.end else None
