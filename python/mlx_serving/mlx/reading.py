"""The phase of a step that reads: vectors of texts, and log-probabilities of a prompt's tokens.

Nothing goes on from what is read, so it has no row, and its keys and values are not kept. Short
texts share a pass, padded at their ends: in a causal model no token sees what comes after it, and
an encoder is told the lengths. A long prompt is read in pieces, each with those before it in a
cache. One pass a step, so that decoding rows wait for no more than that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, cast

import mlx.core as mx
import numpy as np

from ..engine import End, PrefillProgress, ReadResult, RowLogprobs, StepOutput, failed
from ..failures import Refused
from ..messages import Admission, Embed, Score
from .caches import Cache

# Tokens of a pass with its padding: where nothing decodes, and the fewest beside rows.
PASS_TOKENS: Final = 2048
BESIDE_TOKENS_MIN: Final = 16
# Of a pass that scores: logits of each token, and their logarithms.
LOGITS_BYTES_MAX: Final = 64 * 1024 * 1024
FLOAT_BYTES: Final = 4
# What JSON can say in place of an infinity.
UNLIKELY: Final = -9999.0


class States(Protocol):
    """The last hidden states of a model."""

    dimensions: int
    in_pieces: bool
    """A text may be read in pieces, with a cache."""

    def states(self, tokens: mx.array, lengths: list[int], cache: Cache | None) -> mx.array:
        """[rows, tokens, dimensions] of right-padded [rows, tokens]."""
        ...

    def pool(self, states: mx.array, lengths: list[int]) -> mx.array:
        """What is added up over the pieces of a text, [rows, dimensions]; the direction of the sum
        is the text's vector."""
        ...


@dataclass(slots=True, eq=False)
class Part:
    """One text of a request. `done`: tokens that were read in pieces."""

    job: Job
    index: int
    tokens: list[int]
    done: int = 0
    cache: Cache | None = None
    total: mx.array | None = None

    @property
    def inputs(self) -> int:
        """Tokens to compute: of a score nothing comes after the last one."""
        return len(self.tokens) - (0 if self.job.embeds else 1)


@dataclass(slots=True, eq=False)
class Job:
    """A request that reads."""

    request: Admission
    embeds: bool
    parts: list[Part] = field(default_factory=list)
    """Those that are not read yet."""
    vectors: list[bytes] = field(default_factory=list)
    done: int = 0

    @property
    def top(self) -> int:
        reading = self.request.reading
        return reading.top if isinstance(reading, Score) else 0


@dataclass(slots=True)
class Pass:
    """Parts that are read together, or a piece of one: `tokens` of each."""

    parts: list[Part]
    tokens: int


@dataclass(slots=True)
class Outcome:
    plan: Pass
    error: Exception | None = None
    vectors: list[bytes | None] = field(default_factory=list)
    scores: list[list[tuple[int, RowLogprobs | None]]] = field(default_factory=list)


class ReadingPhase:
    def __init__(
        self,
        *,
        model: Any,
        states: States | None,
        new_cache: Callable[[], Cache],
        vocabulary: int,
        pass_tokens: Callable[[], int],
    ) -> None:
        """`model`: None where it has no logits; `states`: None where none are known. `pass_tokens`:
        how many may share the next pass."""
        self._model = model
        self._states = states
        self._new_cache = new_cache
        self._pass_tokens = pass_tokens
        self._score_tokens = max(1, LOGITS_BYTES_MAX // (FLOAT_BYTES * max(1, vocabulary)))
        self._jobs: dict[int, Job] = {}

    @property
    def count(self) -> int:
        return len(self._jobs)

    def insert(self, request: Admission) -> None:
        """Raises `Refused`."""
        reading = request.reading
        embeds = isinstance(reading, Embed)
        if embeds and self._states is None:
            message = "model: this model has no states that a vector could be made of"
            raise Refused("invalid_request", "model", message)
        if not embeds and self._model is None:
            message = (
                "model: this is an embedding model, and makes no text; use POST /v1/embeddings"
            )
            raise Refused("invalid_request", "model", message)
        job = Job(request, embeds)
        lengths = reading.lengths if isinstance(reading, Embed) else [len(request.prompt)]
        begin = 0
        for i, length in enumerate(lengths):
            job.parts.append(Part(job, i, request.prompt[begin : begin + length]))
            begin += length
        job.vectors = [b""] * len(lengths)
        # The longest first: those that share a pass are about as long.
        job.parts.sort(key=lambda part: len(part.tokens), reverse=True)
        self._jobs[request.id] = job

    def remove(self, id: int) -> None:
        self._jobs.pop(id, None)

    def schedule(self) -> Iterator[Pass]:
        plan = self._next()
        if plan is not None:
            yield plan

    def _next(self) -> Pass | None:
        """The longest text of the oldest request, and what fits beside it."""
        oldest = next(iter(self._jobs.values()), None)
        if oldest is None:
            return None
        first = oldest.parts[0]
        room = self._room(oldest)
        if first.done or first.inputs > room:
            whole = oldest.embeds and self._states is not None and not self._states.in_pieces
            left = first.inputs - first.done
            return Pass([first], left if whole else min(left, room))
        return Pass(self._beside(first, room), first.inputs)

    def _room(self, job: Job) -> int:
        room = self._pass_tokens()
        return room if job.embeds else min(room, self._score_tokens)

    def _beside(self, first: Part, room: int) -> list[Part]:
        parts = [first]
        width = max(1, first.inputs)
        for job in self._jobs.values():
            if job.embeds != first.job.embeds:
                continue
            for part in job.parts:
                if (len(parts) + 1) * width > room:
                    return parts
                if part is not first and not part.done and part.inputs <= width:
                    parts.append(part)
        return parts

    def run(self, plan: Pass) -> Outcome:
        outcome = Outcome(plan)
        try:
            if plan.parts[0].job.embeds:
                self._embed(plan, outcome)
            else:
                self._score(plan, outcome)
        except Exception as error:
            outcome.error = error
        return outcome

    def _embed(self, plan: Pass, outcome: Outcome) -> None:
        states = self._states
        assert states is not None
        tokens, lengths, cache = self._inputs(plan)
        pooled = states.pool(states.states(tokens, lengths, cache), lengths)
        pooled = pooled.astype(mx.float32)
        first = plan.parts[0]
        if first.total is not None:
            pooled += first.total
        if first.done + lengths[0] < first.inputs:
            # A piece of one, and others come.
            first.total = pooled
            mx.eval(pooled, [layer.state for layer in cache or []])
            outcome.vectors.append(None)
            return
        vectors = pooled / mx.maximum(mx.linalg.norm(pooled, axis=-1, keepdims=True), 1e-12)
        outcome.vectors = [row.tobytes() for row in np.asarray(vectors).astype("<f4")]

    def _score(self, plan: Pass, outcome: Outcome) -> None:
        if plan.tokens == 0:
            outcome.scores = [[(part.tokens[0], None)] for part in plan.parts]
            return
        tokens, lengths, cache = self._inputs(plan)
        logits = self._model(tokens, cache=cache).astype(mx.float32)
        logprobs = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
        for row, part in enumerate(plan.parts):
            begin, count = part.done, lengths[row]
            targets = part.tokens[begin + 1 : begin + 1 + count]
            scored = _scored(logprobs[row, :count], targets, part.job.top)
            first = [] if begin else [(part.tokens[0], None)]
            outcome.scores.append([*first, *zip(targets, scored, strict=True)])
        if cache:
            mx.eval([layer.state for layer in cache])

    def _inputs(self, plan: Pass) -> tuple[mx.array, list[int], Cache | None]:
        """Right-padded tokens, how many each has, and the cache where it is a piece."""
        lengths = [min(plan.tokens, part.inputs - part.done) for part in plan.parts]
        padded = np.zeros((len(plan.parts), plan.tokens), dtype=np.int32)
        for row, (part, length) in enumerate(zip(plan.parts, lengths, strict=True)):
            padded[row, :length] = part.tokens[part.done : part.done + length]
        first = plan.parts[0]
        if first.done == 0 and plan.tokens >= first.inputs:
            return mx.array(padded), lengths, None
        if first.cache is None:
            first.cache = self._new_cache()
        return mx.array(padded), lengths, first.cache

    def postprocess(self, ran: Outcome, output: StepOutput) -> None:
        if ran.error is not None:
            for id in {part.job.request.id for part in ran.plan.parts}:
                self.remove(id)
                output.ends.append(failed(id, ran.error))
            return
        touched: dict[int, Job] = {}
        for row, part in enumerate(ran.plan.parts):
            # It may have been removed meanwhile.
            job = self._jobs.get(part.job.request.id)
            if job is not None:
                touched[job.request.id] = job
                self._advance(ran, row, part, output)
        for job in touched.values():
            self._tell(job, output)

    def _advance(self, ran: Outcome, row: int, part: Part, output: StepOutput) -> None:
        job = part.job
        count = min(ran.plan.tokens, part.inputs - part.done)
        part.done += count
        job.done += count
        if not job.embeds:
            output.reads.append(ReadResult(job.request.id, logprobs=ran.scores[row]))
        if part.done < part.inputs:
            return
        job.parts.remove(part)
        if job.embeds:
            job.vectors[part.index] = cast(bytes, ran.vectors[row])

    def _tell(self, job: Job, output: StepOutput) -> None:
        id, total = job.request.id, len(job.request.prompt)
        if job.parts:
            output.prefills.append(PrefillProgress(id, job.done, total, 0))
            return
        output.prefills.append(PrefillProgress(id, total, total, 0))
        if job.embeds:
            output.reads.append(ReadResult(id, vectors=b"".join(job.vectors)))
        output.ends.append(End(id, "stop"))
        self.remove(id)


def _scored(logprobs: mx.array, targets: list[int], top: int) -> list[RowLogprobs]:
    """Of each position its target's, and the likeliest. `logprobs`: [positions, vocabulary]."""
    if not targets:
        return []
    own = mx.take_along_axis(logprobs, mx.array(targets)[:, None], axis=-1)[:, 0]
    if top == 0:
        return [RowLogprobs(_finite(one), []) for one in cast("list[float]", own.tolist())]
    top = min(top, logprobs.shape[-1])
    likely = mx.argpartition(-logprobs, kth=top - 1, axis=-1)[:, :top]
    values = mx.take_along_axis(logprobs, likely, axis=-1)
    mx.eval(own, likely, values)
    rows = zip(
        cast("list[float]", own.tolist()),
        cast("list[list[int]]", likely.tolist()),
        cast("list[list[float]]", values.tolist()),
        strict=True,
    )
    return [
        RowLogprobs(
            _finite(one),
            sorted(
                ((token, _finite(value)) for token, value in zip(tokens, of, strict=True)),
                key=lambda pair: -pair[1],
            ),
        )
        for one, tokens, of in rows
    ]


def _finite(logprob: float) -> float:
    return logprob if logprob > UNLIKELY else UNLIKELY
