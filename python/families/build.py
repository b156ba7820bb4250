"""A tiny random instance of a family of mlx-lm, from the values in `configs.json`.

Knows nothing of serving. The weights are drawn so that texts are distinct: what mlx-lm's layers
start with makes the next token nearly a matter of chance.
"""

from __future__ import annotations

import importlib
import json
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any, Final

import mlx.core as mx

CONFIGS: Final = Path(__file__).with_name("configs.json")
SEED: Final = 7
GAIN: Final = 2.0
JITTER: Final = 0.05


@cache
def _file() -> dict[str, Any]:
    body: dict[str, Any] = json.loads(CONFIGS.read_text("utf-8"))
    return body


def config(family: str) -> dict[str, Any]:
    """The configuration of the instance: what all have, and what this one needs besides.

    A family that keeps its language model under `text_config` gets all values there too.
    """
    body = _file()
    own = deepcopy(body["families"].get(family, {}))
    inner = own.pop("text_config", {})
    whole = {**body["common"], **own, "model_type": family}
    if inner is not None:
        whole["text_config"] = {**deepcopy(whole), **inner}
    return whole


def why_none() -> dict[str, str]:
    """Modules that hold no family, or none that can be built here, and why."""
    return dict(_file()["none"])


def build(family: str) -> Any:
    """The tiny instance of a family."""
    return instance(config(family))


# Heads of the instances are shorter than a group of a quantized KV cache.
WIDENED: Final = (
    *("hidden_size", "hidden_dim", "d_model", "n_embd"),
    *("head_dim", "v_head_dim", "qk_nope_head_dim", "qk_rope_head_dim", "kv_lora_rank"),
)


def build_wide(family: str) -> Any:
    """Its heads are twice as long."""

    def widened(made_of: dict[str, Any]) -> dict[str, Any]:
        wide = {name: 2 * made_of[name] for name in WIDENED if type(made_of.get(name)) is int}
        inner = made_of.get("text_config")
        return {**made_of, **wide, **({"text_config": widened(inner)} if inner else {})}

    return instance(widened(config(family)))


def instance(made_of: dict[str, Any]) -> Any:
    """The model of a configuration."""
    module = importlib.import_module(f"mlx_lm.models.{made_of['model_type']}")
    mx.random.seed(SEED)
    model = module.Model(module.ModelArgs.from_dict(deepcopy(made_of)))
    randomize(model)
    model.eval()
    return model


def randomize(model: Any) -> None:
    from mlx.utils import tree_map

    def drawn(array: Any) -> Any:
        if not isinstance(array, mx.array):
            return array
        if not mx.issubdtype(array.dtype, mx.floating):
            return array
        noise = mx.random.normal(array.shape)
        if array.ndim < 2:
            return (array + JITTER * noise).astype(array.dtype)
        return (noise * (GAIN / array.shape[-1] ** 0.5)).astype(array.dtype)

    model.update(tree_map(drawn, model.parameters()))
    mx.eval(model.parameters())
