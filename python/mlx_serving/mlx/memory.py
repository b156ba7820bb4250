"""What a model costs in memory, and how much memory the machine has. All figures are bytes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any, Final

SHARE_OF_MEMORY: Final = 0.7
CGROUP_LIMIT: Final = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True, slots=True)
class KvCost:
    """Of one request: grows with every token, plus what is there at once."""

    bytes_per_token: float
    bytes_fixed: float


def kv_cost(cache: list[Any], tokens: int) -> KvCost:
    """Read off a cache that holds `tokens` tokens. Windows count as full: they will be."""
    per_token = fixed = 0.0
    for layer in leaves(cache):
        keys = _arrays(getattr(layer, "keys", None))
        values = _arrays(getattr(layer, "values", None))
        if not keys or not values or keys[0].ndim != 4:
            fixed += layer.nbytes
            continue
        here = sum(array.nbytes for array in keys + values) / keys[0].shape[2]
        window = getattr(layer, "max_size", None)
        if window is None:
            per_token += here
        else:
            fixed += here * window
    return KvCost(per_token, fixed)


def _arrays(keys: Any) -> list[Any]:
    """One, or those that make up quantized ones."""
    found = keys if isinstance(keys, list) else [keys]
    return [array for array in found if hasattr(array, "ndim")]


def leaves(cache: list[Any]) -> list[Any]:
    """The layers' caches, and those that make up one."""
    found: list[Any] = []
    for layer in cache:
        inner = getattr(layer, "caches", None)
        found += [layer] if inner is None else leaves(list(inner))
    return found


def window_tokens(cache: list[Any]) -> float:
    """Tokens of the shortest window among a model's caches; without limit where there is none."""
    sizes = [getattr(layer, "max_size", None) for layer in leaves(cache)]
    return min((size for size in sizes if size is not None), default=inf)


def machine_bytes() -> int:
    """Main memory, or what this process's control group may have of it."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = CGROUP_LIMIT.read_text().strip()
    except OSError:
        return total
    return min(total, int(limit)) if limit.isdigit() else total


def split_budget(
    budget: int, weights: int, prefix_bytes: int, prefix_share: float
) -> tuple[int, int]:
    """Bytes for running requests and for the prefix cache: both are KV, and the weights plus
    both stay within the budget. The cache has at most `prefix_share` of what the weights leave."""
    left = max(0, budget - weights)
    prefix = min(prefix_bytes, int(left * prefix_share))
    return left - prefix, prefix
