"""One family: what a worker serves of it against what mlx-lm says alone, token by token.

Builds the tiny instance, measures it as a worker does when it loads a model, and serves it by the
worker's own steps. A comparison gives None where all tokens are the same, else what was seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import mlx.core as mx
from mlx_serving.engine import Abilities, Capabilities, PrefillProgress
from mlx_serving.kv.quantized import KvQuantization
from mlx_serving.messages import Admission, Sampling
from mlx_serving.mlx.abilities import measure
from mlx_serving.mlx.adapter import CacheFactory
from mlx_serving.mlx.chunk_policy import chunk_policy
from mlx_serving.mlx.grouping import Grouping
from mlx_serving.mlx.pass_cost import PassCost
from mlx_serving.mlx.prefill_budget import PrefillBudget
from mlx_serving.mlx.prefix_store import prefix_store
from mlx_serving.mlx.runner import MlxRunner
from mlx_serving.mlx.sampling import StockSampler

from .build import build

# Longer than the windows and chunks of the instances, shorter, and a single token.
PROMPT_TOKENS: Final = (40, 57, 1, 23)
NEW_TOKENS: Final = 16
RESUMED_AT: Final = (1, 9)
PIECE_TOKENS: Final = 16
PREFIX_BYTES: Final = 1 << 28
CONTEXT_TOKENS: Final = 512
PROMPT_IDS: Final = 120
REASON_CHARACTERS_MAX: Final = 200


@dataclass(frozen=True)
class Seen:
    """`alone`, `batch`, `prefix`, `resume`: None if the tokens are mlx-lm's."""

    abilities: dict[str, Any]
    alone: str | None
    batch: str | None
    prefix: str | None
    resume: str | None
    kv: dict[str, Any]
    """What `kv.py` saw, as a record."""


def compare(family: str) -> Seen:
    from .kv import compare_kv

    seen = Comparison(build(family)).seen()
    return replace(seen, kv=asdict(compare_kv(family)))


class Comparison:
    def __init__(self, model: Any) -> None:
        self._model = model
        self._vocabulary = int(model(mx.array([[1]])).shape[-1])
        self.abilities = measure(CacheFactory(model), self._vocabulary)
        self.prompts = [prompt(seed, count) for seed, count in enumerate(PROMPT_TOKENS)]
        self.truth = [self._by_mlx_lm(tokens) for tokens in self.prompts]

    def seen(self) -> Seen:
        return Seen(
            asdict(self.abilities),
            *(told(tried) for tried in (self.alone, self.batch, self.prefix, self.resume)),
            kv={},
        )

    def _by_mlx_lm(self, tokens: list[int]) -> list[int]:
        from mlx_lm.generate import generate_step

        steps = generate_step(mx.array(tokens), self._model, max_tokens=NEW_TOKENS)
        return [int(token) for token, _ in steps]

    def serving(self, prefix_bytes: int = 0, unit_tokens: int = 1) -> Serving:
        """`unit_tokens`: of which the lengths of chunks are made, as on CUDA."""
        return Serving(self._model, self._vocabulary, self.abilities, prefix_bytes, unit_tokens)

    def alone(self) -> str | None:
        serving = self.serving()
        return first_difference(
            (f"prompt of {len(tokens)}", serving.run([(tokens, [])])[0], truth)
            for tokens, truth in zip(self.prompts, self.truth, strict=True)
        )

    def batch(self) -> str | None:
        """Two rows and three of unequal length, then all, of which the first leaves early and the
        last comes late."""
        for rows in (2, 3):
            out = self.serving().run([(tokens, []) for tokens in self.prompts[:rows]])
            seen = first_difference(
                (f"row {i + 1} of {rows}", tokens, self.truth[i]) for i, tokens in enumerate(out)
            )
            if seen is not None:
                return seen
        serving = self.serving()
        ids = [serving.insert(self.prompts[0], [], NEW_TOKENS // 2)]
        ids += [serving.insert(tokens, []) for tokens in self.prompts[1:3]]
        for _ in range(NEW_TOKENS // 4):
            serving.step()
        ids.append(serving.insert(self.prompts[3], []))
        serving.finish()
        lengths = [NEW_TOKENS // 2, NEW_TOKENS, NEW_TOKENS, NEW_TOKENS]
        return first_difference(
            (f"row {i + 1} of 4 that come and go", serving.tokens[id], self.truth[i][: lengths[i]])
            for i, id in enumerate(ids)
        )

    def prefix(self) -> str | None:
        """The prompt again, the conversation's next turn, and another prompt that begins alike."""
        serving = self.serving(PREFIX_BYTES)
        tokens, truth = self.prompts[0], self.truth[0]
        turn = [*tokens, *truth, 5, 6, 7]
        branch = [*tokens[: len(tokens) // 2], 9, 8, 7]
        cases = [("first", tokens), ("again", tokens), ("next turn", turn), ("branch", branch)]
        return first_difference(
            (name, serving.run([(asked, [])])[0], self._by_mlx_lm(asked)) for name, asked in cases
        )

    def resume(self) -> str | None:
        """With tokens out already, beside a row that has none."""
        cases = []
        for count in RESUMED_AT:
            for tokens, truth in zip(self.prompts[:2], self.truth, strict=False):
                out = self.serving().run([(tokens, truth[:count]), (self.prompts[3], [])])
                cases.append((f"after {count} tokens", out[0], truth[count:]))
                cases.append(("its neighbour", out[1], self.truth[3]))
        return first_difference(cases)


class Serving:
    """A worker's runner without process and link."""

    def __init__(
        self,
        model: Any,
        vocabulary: int,
        abilities: Abilities,
        prefix_bytes: int,
        unit_tokens: int = 1,
        quantization: KvQuantization | None = None,
    ) -> None:
        caches = CacheFactory(model, abilities, quantization)
        self._runner = MlxRunner(
            caches,
            limits=Capabilities(CONTEXT_TOKENS, 0, 0, 0, 1e12, 1e12),
            end_tokens=frozenset(),
            vocabulary=vocabulary,
            max_batch=4,
            prefill_budget=PrefillBudget(PIECE_TOKENS, PassCost(1e-6, 1e-6, CONTEXT_TOKENS), 0.01),
            chunk_policy=chunk_policy(
                deterministic=False, in_pieces=abilities.pieces, unit_tokens=unit_tokens
            ),
            # Its prompts are short.
            prompt_cache=prefix_store(
                caches, 0 if abilities.prefix == "none" else prefix_bytes, block_tokens=1
            ),
            host=Silent(),
            on_gpu=False,
            sampler=StockSampler(),
            grouping=Grouping(alone=not abilities.batch),
            shares_passes=abilities.shared_prefill,
        )
        self.tokens: dict[int, list[int]] = {}

    @property
    def kv_bytes(self) -> float:
        return self._runner.figures().kv_bytes

    def insert(self, prompt: list[int], emitted: list[int], new_tokens: int = NEW_TOKENS) -> int:
        id = len(self.tokens)
        self.tokens[id] = []
        self._runner.insert(Admission(id, prompt, emitted, new_tokens, Sampling()))
        return id

    def step(self) -> None:
        output = self._runner.step()
        for id, _, token, _ in output.rows:
            self.tokens[id].append(token)
        for end in output.ends:
            if end.finish == "failed":
                raise RuntimeError(end.message)

    def finish(self) -> None:
        while self._runner.delay_seconds() is not None:
            self.step()

    def run(self, requests: Sequence[tuple[list[int], list[int]]]) -> list[list[int]]:
        ids = [self.insert(prompt, emitted) for prompt, emitted in requests]
        self.finish()
        return [self.tokens[id] for id in ids]


class Silent:
    def loading(self, done: float, total: float, what: str) -> None:
        pass

    def busy(self, reason: str, allowance_ms: float) -> None:
        pass

    def prefilled(self, progress: PrefillProgress) -> None:
        pass


def prompt(seed: int, count: int) -> list[int]:
    return [(seed * 37 + i * i * 5 + i * 11 + 3) % PROMPT_IDS for i in range(count)]


def first_difference(cases: Any) -> str | None:
    """Of (name, tokens, truth)."""
    for name, tokens, truth in cases:
        if tokens != truth:
            pairs = zip(tokens, truth, strict=False)
            same = next(
                (i for i, (a, b) in enumerate(pairs) if a != b), min(map(len, (tokens, truth)))
            )
            return f"{name}: other tokens from the {same + 1}. on"
    return None


def told(tried: Callable[[], str | None]) -> str | None:
    try:
        return tried()
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:REASON_CHARACTERS_MAX]
