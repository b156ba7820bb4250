"""mlx-lm as the engine uses it: its models, their caches and their tokenizers. Besides this file,
only those that replace its layers or its caches import it.

Its internals move between releases, so the version is pinned, and `tests/python/mlx/test_mlx_lm.py`
holds every name and behaviour that this file and `batch.py` rely on. Libraries are imported when
they are needed, not before: `hello` must not wait for them.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from ..engine import Abilities
from ..failures import LoadFailed
from ..messages import ControlTokens
from ..models.config import check_config, why_not_built
from ..models.files import weight_files
from ..text.hugging_face import HfTextModel
from ..text.pieces import pieces_of
from .caches import Cache, KvBlock
from .import_structure import keep_import_structure

if TYPE_CHECKING:
    import mlx.core as mx

    from ..kv.quantized import KvQuantization
    from ..models.gguf.file import GgufFile
    from ..models.gguf.weights import Report

EVERYTHING: Final = Abilities()
CONTEXT_DEFAULT: Final = 8192
# Blocks of a shorter beginning are copied into one array: a row that is short joins others in one.
IN_PLACE_TOKENS_MIN: Final = 512
CONTEXT_NAMES: Final = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")


@dataclass(slots=True)
class Weights:
    """A model in memory."""

    model: Any
    config: dict[str, Any]
    size_bytes: int


def import_libraries() -> None:
    keep_import_structure()
    try:
        importlib.import_module("mlx.core")
        importlib.import_module("mlx_lm.utils")
    except ImportError as error:
        message = f"MLX cannot be used ({error}); run the set-up again, or use --engine fake"
        raise LoadFailed("mlx_unavailable", message) from error


def wire_memory() -> None:
    """Lets the GPU keep the weights resident, where the system has such a limit."""
    from mlx_lm.utils import maybe_set_recommended_wired_limit

    maybe_set_recommended_wired_limit()


class CacheFactory:
    """Implements `BlockCaches` with mlx-lm's, used as far as they were seen to be right; or with
    our quantized ones in their place."""

    def __init__(
        self,
        model: Any,
        abilities: Abilities = EVERYTHING,
        quantization: KvQuantization | None = None,
    ) -> None:
        self.model = model
        self._abilities = abilities
        self._quantization = quantization
        self.in_place_tokens = IN_PLACE_TOKENS_MIN
        """From so many tokens on blocks are read where they lie, where that can be."""

    def new(self) -> Cache:
        """An empty cache for one request."""
        from mlx_lm.models.cache import make_prompt_cache

        cache = list(make_prompt_cache(self.model))
        if self._quantization is None:
            return cache
        from ..kv.quantized import QuantizedCache

        return [QuantizedCache(self._quantization) for _ in cache]

    @property
    def can_cut(self) -> bool:
        from .kv_blocks import can_cut

        return self._abilities.prefix == "part" and can_cut(self.new())

    @property
    def reads_in_place(self) -> bool:
        """Whether the model's layers read keys and values wherever they lie (`kv/rows.py`): those
        of `fast` do, with mlx-lm's plain caches."""
        layers = getattr(self.model, "layers", ())
        plain = self._quantization is None and self._abilities.prefix == "part"
        return (
            plain
            and bool(layers)
            and all(hasattr(layer, "native_block") for layer in layers)
            and all(type(layer).__name__ == "KVCache" for layer in self.new())
        )

    def joined(self, blocks: Sequence[KvBlock], tokens: int, room_tokens: int) -> Cache:
        from .kv_blocks import join, joined_in_place

        cache = self.new()
        if tokens >= self.in_place_tokens and self.reads_in_place:
            return joined_in_place(len(cache), blocks, tokens, room_tokens)
        join(cache, blocks, tokens, room_tokens)
        return cache

    def can_trim(self, cache: Cache) -> bool:
        from mlx_lm.models.cache import can_trim_prompt_cache

        return self._abilities.prefix == "part" and bool(can_trim_prompt_cache(cache))

    def trim(self, cache: Cache, tokens: int) -> None:
        """Takes the last tokens off, in place."""
        from mlx_lm.models.cache import trim_prompt_cache

        if tokens:
            trim_prompt_cache(cache, tokens)


def _mib(size_bytes: int) -> str:
    return f"{math.ceil(size_bytes / 2**20)} MiB"


def check_budget(folder: Path, size: int, budget_bytes: int) -> None:
    """Raises `LoadFailed` where weights leave nothing for a request."""
    if size >= budget_bytes:
        sizes = f"its weights take {_mib(size)}; --memory-budget is {_mib(budget_bytes)}"
        raise LoadFailed("memory_budget_exceeded", f"{folder}: {sizes}")


def load_weights(
    folder: Path, budget_bytes: int, on_gpu: bool, files: Path | None = None
) -> Weights:
    """Raises `LoadFailed`. The folder must have been checked; `files`: its stand-in."""
    size = sum(path.stat().st_size for path in weight_files(folder))
    check_budget(folder, size, budget_bytes)
    import mlx.core as mx
    from mlx_lm.utils import load_model

    try:
        model, config = load_model(files or folder, lazy=True, trust_remote_code=False)
    except (Exception, SystemExit) as error:
        # Whatever a family makes of its configuration, and one wants another package and exits.
        model_type = str(check_config(folder)["model_type"])
        raise why_not_built(folder, model_type, error) from error
    try:
        _choose_dtype(model, on_gpu, budget_bytes - size)
        mx.eval(model.parameters())
    except RuntimeError as error:
        raise LoadFailed("weights_corrupt", f"{folder}: {str(error)[:300]}") from error
    return Weights(model, config, bytes_of(model))


def load_gguf(
    file: GgufFile, files: Path, budget_bytes: int, on_gpu: bool, report: Report
) -> Weights:
    """Raises `LoadFailed`. `files`: the folder that stands for it, whose configuration says how
    each layer is quantized."""
    size = file.path.stat().st_size
    check_budget(file.path, size, budget_bytes)
    import mlx.core as mx
    from mlx_lm.utils import load_config

    from ..models.gguf.weights import load_weights as read_weights

    config = load_config(files)
    try:
        weights = read_weights(file, config, on_gpu, report)
        model = _model_of(config, weights)
        _choose_dtype(model, on_gpu, budget_bytes - size)
        mx.eval(model.parameters())
    except Exception as error:
        raise why_not_built(file.path, config["model_type"], error) from error
    return Weights(model, config, bytes_of(model))


def _model_of(config: dict[str, Any], weights: dict[str, mx.array]) -> Any:
    """What `load_model` does with the tensors of a folder."""
    import mlx.nn as nn
    from mlx_lm.utils import _get_classes

    model_class, arguments = _get_classes(config)
    model = model_class(arguments.from_dict(config))
    layers = config.get("quantization", {})
    if layers:
        nn.quantize(
            model,
            group_size=layers["group_size"],
            bits=layers["bits"],
            class_predicate=lambda path, _: layers.get(path, False),
        )
    model.eval()
    model.load_weights(list(weights.items()))
    return model


def _choose_dtype(model: Any, on_gpu: bool, spare_bytes: int) -> None:
    """MLX computes 16-bit floats on a CPU at a fortieth of the speed of float32."""
    import mlx.core as mx

    halves = [array for array in arrays_of(model) if array.dtype in (mx.float16, mx.bfloat16)]
    if not on_gpu and halves and sum(array.nbytes for array in halves) <= spare_bytes:
        model.set_dtype(mx.float32)


def bytes_of(model: Any) -> int:
    return sum(array.nbytes for array in arrays_of(model))


def arrays_of(model: Any) -> list[mx.array]:
    from mlx.utils import tree_flatten

    pairs = cast("list[tuple[str, mx.array]]", tree_flatten(model.parameters()))
    return [array for _, array in pairs]


def context_max(config: dict[str, Any]) -> int:
    """Tokens that the model was made for."""
    for part in (config, config.get("text_config") or {}):
        for name in CONTEXT_NAMES:
            value = part.get(name)
            if isinstance(value, int) and value > 0:
                return value
    return CONTEXT_DEFAULT


# How long a prompt may be, the engine says; a tokenizer with a bound of its own warns on stderr.
TOKENIZER_LENGTH_MAX: Final = 10**30


def load_text(
    folder: Path,
    config: dict[str, Any],
    control_tokens: ControlTokens = "text",
    files: Path | None = None,
) -> HfTextModel:
    """Raises `LoadFailed`. `files`: the folder's stand-in."""
    from mlx_lm.utils import load_tokenizer

    try:
        options = {"trust_remote_code": False, "model_max_length": TOKENIZER_LENGTH_MAX}
        wrapper = load_tokenizer(files or folder, options, config.get("eos_token_id"))  # type: ignore[no-untyped-call]
    except Exception as error:
        # Whatever a tokenizer's files can raise, and that is a lot of kinds.
        said = f"{type(error).__name__}: {str(error)[:300]}".replace(str(files), str(folder))
        message = f"{folder}: its tokenizer cannot be loaded ({said})"
        raise LoadFailed("tokenizer_missing", message) from error
    end_tokens = frozenset(int(token) for token in wrapper.eos_token_ids)
    pieces = pieces_of(wrapper, end_tokens) if _is_plain(wrapper) else None
    return HfTextModel(wrapper, pieces, end_tokens, control_tokens)


def _is_plain(wrapper: Any) -> bool:
    """Whether it decodes as the `tokenizers` library does, with nothing of its own around it."""
    from transformers import PreTrainedTokenizerFast

    made = getattr(type(wrapper._tokenizer), "_decode", None)
    return made is PreTrainedTokenizerFast._decode
