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
from .hidden_states import masked_sum

PREFIXES: Final = ("bert.", "model.")
KNOWN_MODULES: Final = ("Transformer", "Pooling", "Normalize")
ACTIVATIONS: Final = ("gelu",)
POOLINGS: Final = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}


class Encoder:
    """Implements `States`."""

    in_pieces = False

    def __init__(self, config: dict[str, Any], weights: dict[str, mx.array], pooling: str) -> None:
        self.dimensions: int = config["hidden_size"]
        self.vocabulary: int = config["vocab_size"]
        self.layers: int = config["num_hidden_layers"]
        self._heads: int = config["num_attention_heads"]
        self._epsilon = float(config.get("layer_norm_eps", 1e-12))
        self._weights = weights
        self._pooling = pooling

    def states(self, tokens: mx.array, lengths: list[int], cache: Cache | None = None) -> mx.array:
        weights, length = self._weights, tokens.shape[1]
        hidden = weights["embeddings.word_embeddings.weight"][tokens]
        hidden += weights["embeddings.position_embeddings.weight"][:length]
        hidden += weights["embeddings.token_type_embeddings.weight"][0]
        hidden = self._norm(hidden, "embeddings.LayerNorm")
        is_token = mx.arange(length)[None] < mx.array(lengths)[:, None]
        # [rows, heads, queries, keys]; a boolean one is no addition.
        mask = None if min(lengths) == length else is_token[:, None, None, :]
        for i in range(self.layers):
            hidden = self._layer(hidden, f"encoder.layer.{i}.", mask)
        return hidden

    def pool(self, states: mx.array, lengths: list[int]) -> mx.array:
        return states[:, 0] if self._pooling == "cls" else masked_sum(states, lengths)

    def _layer(self, hidden: mx.array, at: str, mask: mx.array | None) -> mx.array:
        rows, length, width = hidden.shape
        head = width // self._heads

        def split(name: str) -> mx.array:
            projected = self._linear(hidden, f"{at}attention.self.{name}")
            return projected.reshape(rows, length, self._heads, head).transpose(0, 2, 1, 3)

        seen = mx.fast.scaled_dot_product_attention(
            split("query"), split("key"), split("value"), scale=1 / math.sqrt(head), mask=mask
        )
        seen = seen.transpose(0, 2, 1, 3).reshape(rows, length, width)
        seen = self._linear(seen, f"{at}attention.output.dense")
        hidden = self._norm(hidden + seen, f"{at}attention.output.LayerNorm")
        wide = _gelu(self._linear(hidden, f"{at}intermediate.dense"))
        return self._norm(hidden + self._linear(wide, f"{at}output.dense"), f"{at}output.LayerNorm")

    def _linear(self, x: mx.array, name: str) -> mx.array:
        weights = self._weights
        return mx.addmm(weights[f"{name}.bias"], x, weights[f"{name}.weight"].T)

    def _norm(self, x: mx.array, name: str) -> mx.array:
        weights = self._weights
        return mx.fast.layer_norm(
            x, weights[f"{name}.weight"], weights[f"{name}.bias"], self._epsilon
        )


# The error function as a quotient of polynomials, lowest power last: Eigen's and XLA's for float32,
# off by 4e-7 at most, as mx.erf is. On a CPU that takes exp of one number after another, which is
# five times as long.
_ERF_ABOVE: Final = (
    -2.72614225801306e-10,
    2.77068142495902e-08,
    -2.10102402082508e-06,
    -5.69250639462346e-05,
    -7.34990630326855e-04,
    -2.95459980854025e-03,
    -1.60960333262415e-02,
)
_ERF_BELOW: Final = (
    -1.45660718464996e-05,
    -2.13374055278905e-04,
    -1.68282697438203e-03,
    -7.37332916720468e-03,
    -1.42647390514189e-02,
)
_ERF_LARGEST: Final = 3.832506856900711
"""From there on it is 1."""


def erf(x: mx.array) -> mx.array:
    x = mx.clip(x, -_ERF_LARGEST, _ERF_LARGEST)
    square = x * x
    return x * _polynomial(_ERF_ABOVE, square) / _polynomial(_ERF_BELOW, square)


def _polynomial(coefficients: tuple[float, ...], x: mx.array) -> mx.array:
    first, *others = coefficients
    value = mx.array(first)
    for coefficient in others:
        value = value * x + coefficient
    return value


@mx.compile
def _gelu(x: mx.array) -> mx.array:
    return x * (1 + erf(x * math.sqrt(0.5))) * 0.5


def load_encoder(folder: Path, config: dict[str, Any], on_gpu: bool) -> Encoder:
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
    encoder = Encoder(config, weights, pooling)
    try:
        mx.eval(list(weights.values()))
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
