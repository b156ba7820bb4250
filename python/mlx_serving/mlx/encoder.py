"""Embedding models of BERT's kind: loaded from a folder as sentence-transformers keeps it.

mlx-lm has none, and its forward pass is short: token, position and type embeddings, layers of
attention to both sides, and what is pooled of the last ones. What a folder's own files want beside
that is refused by name.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Final

import mlx.core as mx

from ..failures import LoadFailed
from ..models.files import Unreadable, read_json
from .caches import Cache
from .encoder_operations import Affine, EncoderOperations, StockOperations
from .hidden_states import masked_sum

PREFIXES: Final = ("bert.", "model.")
KNOWN_MODULES: Final = ("Transformer", "Pooling", "Normalize")
ACTIVATIONS: Final = ("gelu",)
POOLINGS: Final = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}


class Encoder:
    """Implements `States`."""

    in_pieces = False

    def __init__(
        self,
        config: dict[str, Any],
        weights: dict[str, mx.array],
        pooling: str,
        operations: EncoderOperations,
    ) -> None:
        """Raises `KeyError` where a tensor is missing."""
        self.dimensions: int = config["hidden_size"]
        self.vocabulary: int = config["vocab_size"]
        self.layers: int = config["num_hidden_layers"]
        self._heads: int = config["num_attention_heads"]
        self._epsilon = float(config.get("layer_norm_eps", 1e-12))
        self._pooling = pooling
        self._operations = operations
        self._words = weights["embeddings.word_embeddings.weight"]
        # What is the same for every text: a token's place, and that there is one text alone.
        type_of_all = weights["embeddings.token_type_embeddings.weight"][0]
        self._places = weights["embeddings.position_embeddings.weight"] + type_of_all
        self._first = _side_by_side(weights, "embeddings.LayerNorm")
        self._blocks = [_Block(weights, f"encoder.layer.{i}.") for i in range(self.layers)]

    def arrays(self) -> list[mx.array]:
        """All that it has of its own."""
        blocks = [array for block in self._blocks for array in block.arrays()]
        return [self._words, self._places, *self._first, *blocks]

    def states(self, tokens: mx.array, lengths: list[int], cache: Cache | None = None) -> mx.array:
        length = tokens.shape[1]
        hidden = self._words[tokens] + self._places[:length]
        hidden = self._operations.norm(hidden, self._first, self._epsilon)
        is_token = mx.arange(length)[None] < mx.array(lengths)[:, None]
        # [rows, heads, queries, keys]; a boolean one is no addition.
        mask = None if min(lengths) == length else is_token[:, None, None, :]
        for block in self._blocks:
            hidden = self._pass(hidden, block, mask)
        return hidden

    def pool(self, states: mx.array, lengths: list[int]) -> mx.array:
        return states[:, 0] if self._pooling == "cls" else masked_sum(states, lengths)

    def _pass(self, hidden: mx.array, block: _Block, mask: mx.array | None) -> mx.array:
        operations, epsilon = self._operations, self._epsilon
        rows, length, width = hidden.shape
        head = width // self._heads
        # Split first: of what is split after it is transposed MLX makes copies.
        q, k, v = (
            one.reshape(rows, length, self._heads, head).transpose(0, 2, 1, 3)
            for one in mx.split(operations.project(hidden, block.qkv), 3, axis=-1)
        )
        seen = operations.attend(q, k, v, 1 / math.sqrt(head), mask)
        seen = seen.transpose(0, 2, 1, 3).reshape(rows, length, width)
        hidden = operations.project_norm(seen, block.out, hidden, block.attended, epsilon)
        wide = operations.project_gelu(hidden, block.wide)
        return operations.project_norm(wide, block.narrow, hidden, block.ended, epsilon)


class _Block:
    def __init__(self, weights: dict[str, mx.array], at: str) -> None:
        attention = f"{at}attention."
        self.qkv = _side_by_side(
            weights, *(f"{attention}self.{name}" for name in ("query", "key", "value"))
        )
        self.out = _side_by_side(weights, f"{attention}output.dense")
        self.attended = _side_by_side(weights, f"{attention}output.LayerNorm")
        self.wide = _side_by_side(weights, f"{at}intermediate.dense")
        self.narrow = _side_by_side(weights, f"{at}output.dense")
        self.ended = _side_by_side(weights, f"{at}output.LayerNorm")

    def arrays(self) -> list[mx.array]:
        parts = (self.qkv, self.out, self.attended, self.wide, self.narrow, self.ended)
        return [array for part in parts for array in part]


def _side_by_side(weights: dict[str, mx.array], *names: str) -> Affine:
    """One layer, or norm, of those with the same input."""
    return Affine(
        mx.concatenate([weights[f"{name}.weight"] for name in names]),
        mx.concatenate([weights[f"{name}.bias"] for name in names]),
    )


def load_encoder(
    folder: Path,
    config: dict[str, Any],
    on_gpu: bool,
    operations: EncoderOperations | None = None,
) -> Encoder:
    """Raises `LoadFailed`. The folder must have been checked."""
    path = folder / "config.json"
    activation = config.get("hidden_act", "gelu")
    if activation not in ACTIVATIONS:
        raise _unsupported(f"{path}: hidden_act {str(activation)[:40]} is none that is served")
    kind = config.get("position_embedding_type", "absolute")
    if kind != "absolute":
        raise _unsupported(f"{path}: position_embedding_type {str(kind)[:40]} is not served")
    pooling = pooling_of(folder)
    weights = _weights(folder)
    if not on_gpu:
        weights = {name: array.astype(mx.float32) for name, array in weights.items()}
    try:
        encoder = Encoder(config, weights, pooling, operations or StockOperations())
        weights.clear()
        mx.eval(encoder.arrays())
        mx.eval(encoder.states(mx.array([[0, 0], [0, 0]]), [2, 1]))
    except (KeyError, ValueError, RuntimeError) as error:
        what = f"tensor {error} is missing" if isinstance(error, KeyError) else str(error)[:200]
        raise LoadFailed(
            "weights_corrupt", f"{folder}: its weights are no BERT's: {what}"
        ) from error
    return encoder


def _weights(folder: Path) -> dict[str, mx.array]:
    weights: dict[str, mx.array] = {}
    for path in sorted(folder.glob("model*.safetensors")):
        loaded = mx.load(str(path))
        assert isinstance(loaded, dict)
        weights.update(loaded)
    return {_plain(name): array for name, array in weights.items()}


def _plain(name: str) -> str:
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


def pooling_of(folder: Path) -> str:
    """`mean` or `cls`: how sentence-transformers would make one vector of the states. Raises
    `LoadFailed` for what is another kind, or another step."""
    modules = _read(folder / "modules.json", [])
    for module in modules if isinstance(modules, list) else []:
        kind = str(module.get("type", "")).rsplit(".", 1)[-1] if isinstance(module, dict) else ""
        if kind not in KNOWN_MODULES:
            raise _unsupported(f"{folder}/modules.json: a module {kind[:40]} is not served")
    body = _read(folder / "1_Pooling" / "config.json", {})
    wanted = [name for name, on in body.items() if name.startswith("pooling_mode") and on is True]
    if not wanted:
        return "mean"
    if len(wanted) > 1 or wanted[0] not in POOLINGS:
        raise _unsupported(f"{folder}/1_Pooling: {', '.join(wanted)} is not served")
    return POOLINGS[wanted[0]]


def context_max(folder: Path, config: dict[str, Any]) -> int:
    """Tokens of a text: as many as it was made for, which may be fewer than it has positions."""
    positions = int(config["max_position_embeddings"])
    stated = _read(folder / "sentence_bert_config.json", {}).get("max_seq_length")
    return min(positions, stated) if type(stated) is int and stated > 0 else positions


def _read(path: Path, otherwise: Any) -> Any:
    """What is wrong in it is as if it wasn't there: no forward pass depends on it."""
    try:
        value = read_json(path).value
    except (Unreadable, OSError, json.JSONDecodeError):
        return otherwise
    return value if type(value) is type(otherwise) else otherwise


def _unsupported(message: str) -> LoadFailed:
    return LoadFailed("model_unsupported", message)
