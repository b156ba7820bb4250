"""The engine that computes with MLX: loads a model, then hands its steps to `steps.py`.

The only file that imports mlx-lm. Its internals move between releases, so the version is pinned,
and `tests/python/mlx/test_mlx_lm.py` holds every name and behaviour that this file, `steps.py` and
`batch.py` rely on. Heavy libraries are imported by `load`, not before: `hello` must not wait for
them.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import platform
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from .. import fast
from ..acceleration import Parts, mlx_parts, require
from ..engine import EngineFigures, Host, Loaded, StepOutput
from ..fast import blas
from ..log import log
from ..messages import (
    Abilities,
    Admission,
    Capabilities,
    ControlTokens,
    LoadFailed,
    LoadOptions,
    ModelSource,
)
from ..models.config import check_config, why_not_built, why_not_run
from ..models.files import usable
from ..models.generation import sampling_defaults
from ..models.sources import resolve
from ..text.hugging_face import HfTextModel
from ..text.pieces import pieces_of
from . import known_abilities, memory, warm_up
from .grouping import PADDING_BYTES_MAX_CPU, PADDING_BYTES_MAX_GPU, Grouping
from .pass_cost import PassCost
from .prefill_budget import PrefillBudget
from .prefix import PrefixCache

if TYPE_CHECKING:
    import mlx.core as mx

    from .batch import Cache
    from .sampling import Sampler
    from .steps import Steps

VERSIONS_OF: Final = ("mlx", "mlx-lm", "transformers")
CUDA_DISTRIBUTIONS: Final = ("mlx-cuda-13", "mlx-cuda-12")
COMPILE_ALLOWANCE_MS: Final = 180_000.0
LOAD_PARTS: Final = 4
WARM_UP_TOKENS: Final = 4
# cuDNN plans attention anew for each length of chunk and keys, 50 ms a chunk.
UNIT_TOKENS_CUDA: Final = 64
# A second length tells what a token costs from what a pass does.
WARM_UP_CHUNK_TOKENS: Final = 32
WARM_UP_CHUNK_TOKENS_MIN: Final = 8
WARM_UP_CHUNK_SECONDS: Final = 0.3
CONTEXT_DEFAULT: Final = 8192
EVERYTHING: Final = Abilities()
CONTEXT_NAMES: Final = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")


@dataclass(slots=True)
class Weights:
    """A model in memory."""

    model: Any
    config: dict[str, Any]
    size_bytes: int


class MlxEngine:
    name = "mlx"
    _steps: Steps

    def describe(self) -> tuple[dict[str, str], str]:
        versions = {"python": platform.python_version()}
        for name in VERSIONS_OF:
            versions[name] = _version(name) or "missing"
        return versions, expected_backend()

    def load(self, model: ModelSource, options: LoadOptions, host: Host) -> Loaded:
        host.loading(0, LOAD_PARTS, "files")
        folder = resolve(model, host.loading)
        with usable(folder) as files:
            return self._load(folder, files, options, host)

    def _load(self, folder: Path, files: Path, options: LoadOptions, host: Host) -> Loaded:
        """`files`: the folder, or its stand-in."""
        host.loading(1, LOAD_PARTS, "libraries")
        if options.device == "cpu" or expected_backend() == "cpu":
            # Before MLX, which finds its names in it.
            blas.load()
        warm_up.prepare_compiler()
        _import_libraries()
        on_gpu = _choose_device(options.device)
        parts = mlx_parts(on_gpu)
        require(parts)
        if on_gpu:
            _wire_memory()
        host.loading(2, LOAD_PARTS, "weights")
        budget = options.memory_budget_bytes or int(memory.SHARE_OF_MEMORY * _device_bytes(on_gpu))
        weights = load_weights(folder, budget, on_gpu, files)
        if not on_gpu:
            report = fast.accelerate(weights.model)
            weights.size_bytes = bytes_of(weights.model) + report.packed_bytes
            # Why it is off, the line about all parts says.
            if report.on:
                log(report.describe())
        elif parts["kernels"]["on"]:
            from .. import kernels

            log(kernels.accelerate(weights.model).describe())
        host.loading(3, LOAD_PARTS, "tokenizer and warm-up")
        host.busy("compilation", COMPILE_ALLOWANCE_MS)
        # The tokenizer needs no MLX, and MLX leaves Python alone while it computes.
        with ThreadPoolExecutor(1) as background:
            loading_text = background.submit(
                load_text, folder, weights.config, options.control_tokens, files
            )
            unit = UNIT_TOKENS_CUDA if on_gpu and expected_backend() == "cuda" else 1
            try:
                prefill_budget, cost, vocabulary = _warm_up(weights.model, options, unit, on_gpu)
            except Exception as error:
                raise why_not_run(folder, error) from error
            abilities = _abilities(weights.model, vocabulary, files, on_gpu, parts)
            text = loading_text.result()
        text.vocabulary = vocabulary
        kv_budget, prefix_bytes = memory.split_budget(
            budget, weights.size_bytes, options.prefix_cache_bytes, options.prefix_cache_share
        )
        if abilities.prefix == "none":
            kv_budget, prefix_bytes = kv_budget + prefix_bytes, 0
        made_for = context_max(weights.config)
        limits = Capabilities(
            context_max=min(options.context_max or made_for, made_for),
            kv_bytes_per_token=cost.bytes_per_token,
            kv_bytes_fixed=cost.bytes_fixed,
            weights_bytes=weights.size_bytes,
            kv_budget_bytes=kv_budget,
        )
        from .steps import Steps

        new_steps = partial(
            Steps,
            CacheFactory(weights.model, abilities),
            limits=limits,
            vocabulary=vocabulary,
            max_batch=max(1, options.max_batch),
            on_gpu=on_gpu,
            sampler=_sampler(parts),
            grouping=Grouping(
                cost.bytes_per_token,
                PADDING_BYTES_MAX_GPU if on_gpu else PADDING_BYTES_MAX_CPU,
                alone=not abilities.batch,
            ),
        )
        if on_gpu:
            _compile_all(new_steps, prefill_budget, options, limits.context_max, host)
        self._steps = new_steps(
            end_tokens=text.end_tokens,
            prefill_budget=prefill_budget,
            prefixes=PrefixCache(prefix_bytes),
            host=host,
        )
        host.loading(LOAD_PARTS, LOAD_PARTS, "done")
        return Loaded(limits, text, sampling_defaults(folder), parts, abilities)

    def insert(self, request: Admission) -> None:
        self._steps.insert(request)

    def remove(self, id: int) -> None:
        self._steps.remove(id)

    def step(self) -> StepOutput:
        return self._steps.step()

    def delay_seconds(self) -> float | None:
        return self._steps.delay_seconds()

    def figures(self) -> EngineFigures:
        return self._steps.figures()


# --- machine ---


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def expected_backend() -> str:
    """What MLX will use here, told from what is installed."""
    if sys.platform == "darwin":
        return "metal" if platform.machine() == "arm64" else "cpu"
    cuda = any(_version(name) for name in CUDA_DISTRIBUTIONS)
    return "cuda" if cuda and Path("/dev/nvidiactl").exists() else "cpu"


def _import_libraries() -> None:
    try:
        importlib.import_module("mlx.core")
        importlib.import_module("mlx_lm.utils")
    except ImportError as error:
        message = f"MLX cannot be used ({error}); run the set-up again, or use --engine fake"
        raise LoadFailed("mlx_unavailable", message) from error


def _choose_device(device: str) -> bool:
    """Whether the GPU is in use."""
    import mlx.core as mx

    if device == "cpu":
        mx.set_default_device(mx.Device(mx.cpu))
    elif device == "gpu" and mx.default_device().type != mx.DeviceType.gpu:
        raise LoadFailed("device_unavailable", "MLX finds no GPU here; use --device cpu or auto")
    return bool(mx.default_device().type == mx.DeviceType.gpu)


def _device_bytes(on_gpu: bool) -> int:
    import mlx.core as mx

    if on_gpu:
        info = mx.device_info()
        for name in ("memory_size", "total_memory"):
            if isinstance(size := info.get(name), int):
                return size
    return memory.machine_bytes()


def _wire_memory() -> None:
    """Lets the GPU keep the weights resident, where the system has such a limit."""
    from mlx_lm.utils import maybe_set_recommended_wired_limit

    maybe_set_recommended_wired_limit()


# --- mlx-lm ---


class CacheFactory:
    """A model with mlx-lm's caches for it, used as far as they were seen to be right."""

    def __init__(self, model: Any, abilities: Abilities = EVERYTHING) -> None:
        self.model = model
        self._abilities = abilities

    @property
    def in_pieces(self) -> bool:
        return self._abilities.pieces

    def new(self) -> Cache:
        """An empty cache for one request."""
        from mlx_lm.models.cache import make_prompt_cache

        return list(make_prompt_cache(self.model))

    def can_trim(self, cache: Cache) -> bool:
        from mlx_lm.models.cache import can_trim_prompt_cache

        return self._abilities.prefix == "part" and bool(can_trim_prompt_cache(cache))

    def trim(self, cache: Cache, tokens: int) -> None:
        """Takes the last tokens off, in place."""
        from mlx_lm.models.cache import trim_prompt_cache

        if tokens:
            trim_prompt_cache(cache, tokens)


def _sampler(parts: Parts) -> Sampler:
    from .sampling import StockSampler

    if not parts["sampling"]["on"]:
        return StockSampler()
    from .fast_sampler import FastSampler

    return FastSampler()


def load_weights(
    folder: Path, budget_bytes: int, on_gpu: bool, files: Path | None = None
) -> Weights:
    """Raises `LoadFailed`. The folder must have been checked; `files`: its stand-in."""
    size = sum(path.stat().st_size for path in folder.glob("model*.safetensors"))
    if size > budget_bytes:
        message = f"{folder}: its weights take {size} bytes, the memory budget is {budget_bytes}"
        raise LoadFailed("out_of_memory", message)
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


def _choose_dtype(model: Any, on_gpu: bool, spare_bytes: int) -> None:
    """MLX computes 16-bit floats on a CPU at a fortieth of the speed of float32."""
    import mlx.core as mx

    halves = [array for array in _arrays(model) if array.dtype in (mx.float16, mx.bfloat16)]
    if not on_gpu and halves and sum(array.nbytes for array in halves) <= spare_bytes:
        model.set_dtype(mx.float32)


def bytes_of(model: Any) -> int:
    return sum(array.nbytes for array in _arrays(model))


def _arrays(model: Any) -> list[mx.array]:
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


def load_text(
    folder: Path,
    config: dict[str, Any],
    control_tokens: ControlTokens = "text",
    files: Path | None = None,
) -> HfTextModel:
    """Raises `LoadFailed`. `files`: the folder's stand-in."""
    from mlx_lm.utils import load_tokenizer

    try:
        options = {"trust_remote_code": False}
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


def _warm_up(
    model: Any, options: LoadOptions, unit_tokens: int, on_gpu: bool
) -> tuple[PrefillBudget, memory.KvCost, int]:
    """Short runs: the first touch the weights and, on a GPU, compile; the second are measured."""
    _short_run(model)
    if on_gpu:
        _chunk_seconds(model, WARM_UP_CHUNK_TOKENS)
    start = time.monotonic()
    cache, vocabulary = _short_run(model)
    pass_seconds = (time.monotonic() - start) / 2
    tokens = _chunk_tokens(pass_seconds)
    token_seconds = (_chunk_seconds(model, tokens) - pass_seconds) / tokens
    prefill_budget = PrefillBudget(
        chunk_tokens_max=options.prefill_chunk_tokens,
        deterministic=options.deterministic,
        cost=PassCost(pass_seconds, token_seconds, tokens),
        step_seconds=pass_seconds,
        unit_tokens=unit_tokens,
    )
    return prefill_budget, memory.kv_cost(cache, WARM_UP_TOKENS), vocabulary


def _chunk_tokens(pass_seconds: float) -> int:
    """Fewer where a pass is slow: no start waits for the measurement."""
    fitting = int(WARM_UP_CHUNK_SECONDS / pass_seconds)
    return min(WARM_UP_CHUNK_TOKENS, max(WARM_UP_CHUNK_TOKENS_MIN, fitting))


def _abilities(model: Any, vocabulary: int, folder: Path, on_gpu: bool, parts: Parts) -> Abilities:
    from .abilities import measure

    key = known_abilities.key_of(
        (folder / "config.json").read_bytes(),
        {str(array.dtype) for array in _arrays(model)},
        [name for name, status in parts.items() if status["on"]],
        ["gpu" if on_gpu else "cpu"],
    )
    abilities = known_abilities.known_or_measured(
        key, lambda: measure(CacheFactory(model), vocabulary)
    )
    if not abilities.batch:
        log(f"rows pass through this model one at a time: {abilities.batch_reason}")
    if abilities.prefix == "none":
        log(f"no prefixes are kept: {abilities.prefix_reason}")
    return abilities


def _compile_all(
    new_steps: Callable[..., Steps],
    prefill_budget: PrefillBudget,
    options: LoadOptions,
    context_max: int,
    host: Host,
) -> None:
    """Serves requests of our own. Their speed says nothing, so they have a prefill budget of their
    own; and none ends before its time."""
    import mlx.core as mx

    def run(chunk_tokens: int, runs: list[list[Admission]], first: float, last: float) -> None:
        steps = new_steps(
            end_tokens=frozenset(),
            prefill_budget=replace(
                prefill_budget, chunk_tokens_max=chunk_tokens, cost=PassCost(0, 0, chunk_tokens)
            ),
            prefixes=PrefixCache(0),
            host=warm_up.Quiet(host),
        )

        def tell(share: float) -> None:
            done = first + share * (last - first)
            host.loading(LOAD_PARTS - 1 + done, LOAD_PARTS, "kernels")

        warm_up.run(steps, runs, host, tell)

    long_prompt = warm_up.long_prompt(context_max)
    requests = list(warm_up.requests(max(1, options.max_batch), context_max))
    try:
        run(prefill_budget.chunk_tokens_max, requests, 0, 0.8)
        lengths = list(prefill_budget.unit_lengths())
        for i, tokens in enumerate(lengths):
            first = 0.8 + 0.2 * i / len(lengths)
            run(tokens, [long_prompt], first, first + 0.2 / len(lengths))
    except RuntimeError as error:
        log(f"not all kernels are compiled: {error}")
    mx.clear_cache()


def _chunk_seconds(model: Any, tokens: int) -> float:
    import mlx.core as mx

    start = time.monotonic()
    cache = CacheFactory(model).new()
    model(mx.zeros((1, tokens), dtype=mx.uint32), cache=cache)
    mx.eval([layer.state for layer in cache])
    return time.monotonic() - start


def _short_run(model: Any) -> tuple[Cache, int]:
    import mlx.core as mx

    cache = CacheFactory(model).new()
    model(mx.arange(WARM_UP_TOKENS - 1)[None], cache=cache)
    logits = model(mx.array([[0]]), cache=cache)
    mx.eval(logits, [layer.state for layer in cache])
    return cache, int(logits.shape[-1])
