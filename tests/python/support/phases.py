"""Phases of a step by themselves: everything around them, on a tiny model."""

from __future__ import annotations

from typing import Any

from mlx_serving.engine import Capabilities
from mlx_serving.messages import Admission
from mlx_serving.mlx.adapter import CacheFactory
from mlx_serving.mlx.admission import AdmissionPhase
from mlx_serving.mlx.announcer import Announcer
from mlx_serving.mlx.batch import Batch
from mlx_serving.mlx.chunk_policy import ChunkPolicy, FreeLengths
from mlx_serving.mlx.common_prefixes import CommonPrefixes
from mlx_serving.mlx.decode import DecodePhase
from mlx_serving.mlx.grouping import Grouping
from mlx_serving.mlx.kv_room import KvRoom
from mlx_serving.mlx.pass_cost import PassCost
from mlx_serving.mlx.prefill import PrefillPhase
from mlx_serving.mlx.prefill_budget import PrefillBudget
from mlx_serving.mlx.prefill_order import PrefillOrder
from mlx_serving.mlx.prefix_policy import PrefixPolicy
from mlx_serving.mlx.prefix_store import prefix_store
from mlx_serving.mlx.sampling import StockSampler
from mlx_serving.mlx.short_prompts import ShortPrompts
from mlx_serving.mlx.stages import Stages

from toy import CONTEXT, END, VOCABULARY, Recorder


class Phases:
    def __init__(
        self,
        model: Any,
        *,
        policy: ChunkPolicy | None = None,
        chunk_tokens: int = 64,
        max_batch: int = 4,
        prefix_bytes: int = 0,
        kv_budget: float = 1e9,
        on_gpu: bool = False,
        queues_chunks: bool = False,
        buffer_bytes_max: float = 1e12,
        share: bool = True,
        cost: PassCost | None = None,
    ) -> None:
        caches, policy = CacheFactory(model), policy or FreeLengths()
        self.host = Recorder()
        limits = Capabilities(CONTEXT, 100, 0, 0, kv_budget, kv_budget + prefix_bytes)
        batch = Batch(model, StockSampler(), Grouping())
        self.stages = Stages(batch, max_batch, KvRoom(limits))
        self.budget = PrefillBudget(
            chunk_tokens, cost or PassCost(1e-6, 1e-6, CONTEXT), 0.01, queues_chunks
        )
        self.prompt_cache = prefix_store(caches, prefix_bytes, block_tokens=1)
        self.prefixes = prefixes = PrefixPolicy(self.prompt_cache, caches, policy)
        announcer = Announcer(self.host, on_gpu)
        order, common = PrefillOrder(), CommonPrefixes(policy.reuse_unit_tokens)
        self.admission = AdmissionPhase(
            self.stages, policy, prefixes, order, common, limits, VOCABULARY
        )
        short = ShortPrompts(policy, self.budget, prefixes, order, common, share=share)
        self.prefill = PrefillPhase(
            self.stages,
            caches,
            policy,
            self.budget,
            prefixes,
            order,
            common,
            short,
            announcer,
            self.host,
        )
        self.decode = DecodePhase(
            self.stages,
            self.budget,
            prefixes,
            announcer,
            end_tokens=frozenset({END}),
            on_gpu=on_gpu,
            buffer_bytes_max=buffer_bytes_max,
        )

    def wait(self, *requests: Admission) -> None:
        self.stages.waiting.extend(requests)
