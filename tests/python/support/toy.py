"""A tiny Llama with random weights, and a driver for a runner without process and link."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx
from mlx_lm.models import llama
from mlx_serving.engine import Capabilities, End, Forcing, PrefillProgress, RowLogprobs
from mlx_serving.grammar.grammars import Grammars
from mlx_serving.grammar.matcher import Matcher
from mlx_serving.grammar.vocabulary import of_pieces
from mlx_serving.kv.quantized import KvQuantization
from mlx_serving.messages import Admission, Constraint, Sampling
from mlx_serving.mlx.adapter import CacheFactory
from mlx_serving.mlx.chunk_policy import chunk_policy
from mlx_serving.mlx.grouping import Grouping
from mlx_serving.mlx.pass_cost import PassCost
from mlx_serving.mlx.prefill_budget import PrefillBudget
from mlx_serving.mlx.prefix_disk import PrefixDisk
from mlx_serving.mlx.prefix_store import prefix_store
from mlx_serving.mlx.prompt_cache import PromptCache
from mlx_serving.mlx.runner import MlxRunner
from mlx_serving.mlx.sampling import Sampler, StockSampler

VOCABULARY = 64
END = 63
CONTEXT = 600
# Of a small model of any Llama-like architecture, with the shapes that kernels can take.
SMALL = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-5,
    "vocab_size": 100,
    "max_position_embeddings": 512,
}


def model(**changes: Any) -> Any:
    mx.random.seed(3)
    options: dict[str, Any] = {
        "model_type": "llama",
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "intermediate_size": 64,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-5,
        "vocab_size": VOCABULARY,
        "tie_word_embeddings": False,
        **changes,
    }
    made = llama.Model(llama.ModelArgs(**options))
    # Weights that make distinct texts: the default ones are nearly uniform.
    made.update(mx_map(lambda array: array * 4, made.parameters()))
    mx.eval(made.parameters())
    return made


def mx_map(change: Callable[[mx.array], mx.array], tree: Any) -> Any:
    from mlx.utils import tree_map

    return tree_map(change, tree)


class KnownCost(PassCost):
    """Learns nothing, so that plans don't depend on the machine's speed: by default the fixed part
    is that of 240 tokens."""

    def __init__(self, fixed_seconds: float = 240e-6, token_seconds: float = 1e-6) -> None:
        super().__init__(fixed_seconds, token_seconds, 10 * CONTEXT)
        self._prior = [fixed_seconds, token_seconds, 0.0, 0.0]

    def learn(self, tokens: int, depth: int, seconds: float) -> None:
        pass


class Recorder:
    """A `Host` that remembers."""

    def __init__(self) -> None:
        self.prefills: list[PrefillProgress] = []
        self.busies: list[str] = []

    def loading(self, done: float, total: float, what: str) -> None:
        raise AssertionError("nothing is loaded here")

    def busy(self, reason: str, allowance_ms: float) -> None:
        assert allowance_ms > 0
        self.busies.append(reason)

    def prefilled(self, progress: PrefillProgress) -> None:
        self.prefills.append(progress)


class Driver:
    def __init__(
        self,
        toy: Any,
        *,
        deterministic: bool = False,
        max_batch: int = 8,
        prefix_bytes: int = 0,
        chunk_tokens: int = 64,
        kv_budget: float = 1e9,
        kv_bytes_per_token: float = 100,
        on_gpu: bool = False,
        queues_chunks: bool = False,
        sampler: Sampler | None = None,
        grouping: Grouping | None = None,
        unit_tokens: int = 1,
        in_pieces: bool = True,
        block_tokens: int = 1,
        open_disk: Callable[[PromptCache, CacheFactory], PrefixDisk] | None = None,
        quantization: KvQuantization | None = None,
        shares_passes: bool = True,
        cost: PassCost | None = None,
    ) -> None:
        self.host = Recorder()
        caches = CacheFactory(toy, quantization=quantization)
        self.prompt_cache = prefix_store(caches, prefix_bytes, block_tokens)
        self.disk = open_disk(self.prompt_cache, caches) if open_disk else None
        self.runner = MlxRunner(
            caches,
            limits=Capabilities(
                CONTEXT, kv_bytes_per_token, 0, 0, kv_budget, kv_budget + prefix_bytes
            ),
            end_tokens=frozenset({END}),
            vocabulary=VOCABULARY,
            max_batch=max_batch,
            prefill_budget=PrefillBudget(
                chunk_tokens, cost or PassCost(1e-6, 1e-6, CONTEXT), 0.01, queues_chunks
            ),
            chunk_policy=chunk_policy(
                deterministic=deterministic, in_pieces=in_pieces, unit_tokens=unit_tokens
            ),
            prompt_cache=self.prompt_cache,
            host=self.host,
            on_gpu=on_gpu,
            sampler=sampler or StockSampler(),
            grouping=grouping or Grouping(),
            disk=self.disk,
            shares_passes=shares_passes,
        )
        self.tokens: dict[int, list[int]] = {}
        self.first: dict[int, int] = {}
        self.logprobs: dict[int, list[RowLogprobs | None]] = {}
        self.ends: dict[int, End] = {}
        self.prefills: dict[int, list[PrefillProgress]] = {}

    def insert(
        self, request: Admission, matcher: Matcher | None = None, forcing: Forcing | None = None
    ) -> None:
        self.first[request.id] = len(request.emitted)
        self.tokens[request.id] = []
        self.logprobs[request.id] = []
        self.prefills[request.id] = []
        self.runner.insert(request, matcher, forcing)

    def step(self) -> None:
        output = self.runner.step()
        self.prompt_cache.check()
        for progress in [*self.host.prefills, *output.prefills]:
            self.prefills[progress.id].append(progress)
        self.host.prefills.clear()
        for id, index, token, logprobs in output.rows:
            assert id not in self.ends and index == self.first[id] + len(self.tokens[id])
            self.tokens[id].append(token)
            self.logprobs[id].append(logprobs)
        for end in output.ends:
            assert end.id not in self.ends
            self.ends[end.id] = end

    def run(self, *requests: Admission) -> dict[int, list[int]]:
        for request in requests:
            self.insert(request)
        while self.runner.delay_seconds() is not None:
            self.step()
        return {request.id: self.tokens[request.id] for request in requests}

    def cached(self, id: int) -> int:
        return self.prefills[id][-1].cached


def request(
    id: int,
    prompt: list[int],
    max_tokens: int = 12,
    emitted: list[int] | None = None,
    **sampled: Any,
) -> Admission:
    return Admission(id, prompt, emitted or [], max_tokens, Sampling(**sampled))


# A letter or digit each, the last one an end: what grammars say of the toy's texts.
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"
GRAMMARS = Grammars(
    lambda: of_pieces([*(letter.encode() for letter in LETTERS), b""], END), VOCABULARY
)


def kept_to(pattern: str, emitted: list[int] | None = None) -> Matcher:
    """A matcher of a regular expression, after these tokens."""
    matcher = GRAMMARS.matcher(Constraint("regex", pattern))
    matcher.accept(emitted or [])
    return matcher


def spelled(tokens: list[int]) -> str:
    return "".join(LETTERS[token] for token in tokens if token != END)


def prompt(seed: int, length: int) -> list[int]:
    return [(seed * 7 + i * i * 3 + i) % (VOCABULARY - 1) for i in range(length)]


# What models have said, each with its own: many tests ask for the same.
_said: list[tuple[Any, dict[tuple[int, ...], list[int]]]] = []


def greedy(toy: Any, tokens: list[int], count: int) -> list[int]:
    """By whole forward passes, without cache or batch."""
    said = next((said for model, said in _said if model is toy), None)
    if said is None:
        said = {}
        _said.append((toy, said))
    out = said.setdefault((count, *tokens), [])
    while len(out) < count and (not out or out[-1] != END):
        logits = toy(mx.array([tokens + out]))
        out.append(int(mx.argmax(logits[0, -1]).item()))
    return list(out)
