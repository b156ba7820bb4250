"""Requests of our own that a worker on a GPU serves while it loads, so that none of a client's
waits for a kernel to be compiled.

MLX compiles a kernel when it first needs it, once for each variant of its text and not for each
shape: a model's variants depend on how many rows decode (up to 8, 16, 32, 64), on how long a
prompt's chunk is, and on what the rows ask of the sampler. The requests go through a runner itself:
it computes for them what it will compute for a client's.
"""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Final

from ..engine import Host, PrefillProgress, Runner
from ..failures import Refused
from ..log import log
from ..messages import Admission, Sampling
from .announcer import COMPILE_ALLOWANCE_MS
from .known_abilities import cache_folder

# Of the whole warm-up, what the runs before the long prompt's take.
SHARE_OF_REQUESTS: Final = 0.8
ROWS: Final = (64, 32, 16, 8, 1)
# Prompts whose prefill takes each of the kernels for few, some and many rows.
PROMPT_TOKENS: Final = (2, 12, 24, 48, 150, 600)
PROMPT_TOKENS_SHORT: Final = 3
# Short prompts share a pass, so many at a time; on CUDA each number and length is planned.
SHARED_ROWS: Final = (2, 4, 8)
SHARED_TOKENS: Final = (48, 100)
NEW_TOKENS: Final = 3
LONG_PROMPT_TOKENS: Final = 4096

PLAIN: Final = Sampling()
# All that the sampler can do, each in a row of its own and all in one.
SAMPLINGS: Final = (
    Sampling(temperature=1.0),
    Sampling(temperature=1.0, top_p=0.9),
    Sampling(temperature=1.0, top_k=20, min_p=0.01),
    Sampling(repetition_penalty=1.1, presence_penalty=0.1, frequency_penalty=0.1),
    Sampling(logit_bias=((1, 1.0),)),
    Sampling(logprobs=2),
    Sampling(
        temperature=0.7,
        top_p=0.9,
        top_k=20,
        min_p=0.01,
        repetition_penalty=1.1,
        logit_bias=((1, 1.0), (2, -1.0)),
        logprobs=2,
    ),
)


def prepare_compiler() -> None:
    """Has MLX keep what it compiles where it outlasts a restart of the machine, and what it plans
    for all lengths of a long prompt's chunks. To be called before MLX computes. Kernels that aren't
    MLX's own are compiled by each process."""
    folder = cache_folder() / "compiled" / importlib.metadata.version("mlx")
    os.environ.setdefault("MLX_PTX_CACHE_DIR", str(folder))
    os.environ.setdefault("MLX_CUDA_SDPA_CACHE_SIZE", "1024")


class Quiet:
    """A host that tells only that work is under way."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def loading(self, done: float, total: float, what: str) -> None:
        pass

    def busy(self, reason: str, allowance_ms: float) -> None:
        self._host.busy(reason, allowance_ms)

    def prefilled(self, progress: PrefillProgress) -> None:
        pass


NewRunner = Callable[[int, Host], Runner]
"""A runner of its own for chunks of so many tokens, that ends no request before its time."""


def compile_all(
    new_runner: NewRunner,
    *,
    chunk_tokens_max: int,
    planned_lengths: Sequence[int],
    max_batch: int,
    context_max: int,
    host: Host,
    told: Callable[[float], None],
) -> None:
    """Serves all requests of our own. `told` gets the share that is done."""
    import mlx.core as mx

    def serve(
        chunk_tokens: int, runs: Sequence[list[Admission]], first: float, last: float
    ) -> None:
        runner = new_runner(chunk_tokens, Quiet(host))
        run(runner, runs, host, lambda share: told(first + share * (last - first)))

    long = long_prompt(context_max)
    try:
        serve(chunk_tokens_max, list(requests(max_batch, context_max)), 0, SHARE_OF_REQUESTS)
        for i, tokens in enumerate(planned_lengths):
            share = (1 - SHARE_OF_REQUESTS) / len(planned_lengths)
            first = SHARE_OF_REQUESTS + share * i
            serve(tokens, [long], first, first + share)
    except RuntimeError as error:
        log(f"not all kernels are compiled: {error}")
    mx.clear_cache()


def run(
    runner: Runner, runs: Sequence[list[Admission]], host: Host, told: Callable[[float], None]
) -> None:
    """Serves all runs. `told` gets the share that is done. Raises `RuntimeError` if one fails."""
    for done, batch in enumerate(runs):
        told(done / len(runs))
        for request in batch:
            # One that has no room here has none later either.
            with suppress(Refused):
                runner.insert(request)
        while runner.delay_seconds() is not None:
            host.busy("compilation", COMPILE_ALLOWANCE_MS)
            output = runner.step()
            for end in output.ends:
                if end.finish == "failed":
                    raise RuntimeError(f"warm-up: {end.message}")
    told(1.0)


def requests(max_batch: int, context_max: int) -> Iterator[list[Admission]]:
    """One list a run, of requests that are served together."""
    for tokens in PROMPT_TOKENS:
        # By itself, and two in one pass. A single row's attention is MLX's own when it decodes.
        for rows in (1, 2):
            if rows <= max_batch and tokens + NEW_TOKENS <= context_max:
                yield [_request(i, tokens, PLAIN) for i in range(rows)]
    for rows in SHARED_ROWS:
        for tokens in SHARED_TOKENS:
            if rows <= max_batch and tokens + NEW_TOKENS <= context_max:
                yield [_request(i, tokens, PLAIN) for i in range(rows)]
    for rows in ROWS:
        # What lies between is computed by the kernel of the next larger number.
        if rows <= max_batch or rows // 2 < max_batch:
            count = min(rows, max_batch)
            yield [_request(i, PROMPT_TOKENS_SHORT + i % 2, PLAIN, i % 2) for i in range(count)]
    for start in range(0, len(SAMPLINGS), max_batch):
        some = SAMPLINGS[start : start + max_batch]
        yield [_request(i, PROMPT_TOKENS_SHORT, sampling) for i, sampling in enumerate(some)]


def long_prompt(context_max: int) -> list[Admission]:
    """A run whose prefill has as many lengths of keys as a usual prompt of an agent."""
    return [_request(0, min(LONG_PROMPT_TOKENS, context_max - NEW_TOKENS), PLAIN)]


def _request(id: int, tokens: int, sampling: Sampling, later: int = 0) -> Admission:
    """`later`: tokens by which it outlasts others, so that rows leave a batch that goes on."""
    return Admission(id, [1] * tokens, [], NEW_TOKENS + later, sampling)
