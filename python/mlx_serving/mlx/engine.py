"""The engine that computes with MLX: loads a model, and gives a runner for it.

Owns the order of a load. Heavy libraries are imported by `load`, not before: `hello` must not wait
for them.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .. import fast
from ..acceleration import Parts, mlx_parts, require
from ..engine import (
    Abilities,
    Capabilities,
    Host,
    Loaded,
    RoomTerms,
    Runner,
    SamplingDefaults,
)
from ..failures import LoadFailed
from ..fast import blas
from ..grammar.grammars import Grammars
from ..grammar.vocabulary import of_tokenizer
from ..log import log
from ..messages import LoadOptions, ModelSource
from ..models.config import check_config, is_encoder, why_not_run
from ..models.files import usable, weight_files
from ..models.generation import sampling_defaults
from ..models.sources import resolve
from ..text.hugging_face import HfTextModel
from . import known_abilities, memory, model_identity, warm_up
from .adapter import (
    CacheFactory,
    Weights,
    arrays_of,
    bytes_of,
    check_budget,
    context_max,
    import_libraries,
    load_gguf,
    load_text,
    load_weights,
    wire_memory,
)
from .announcer import COMPILE_ALLOWANCE_MS
from .chunk_policy import chunk_policy
from .device import choose_device, device_bytes, expected_backend, version_of
from .grouping import (
    PADDING_BYTES_MAX_CPU,
    PADDING_BYTES_MAX_GPU,
    PADDING_OF_MEMORY_CPU,
    PADDING_OF_MEMORY_GPU,
    Grouping,
)
from .kv_room import ROOM_SHARE, ROOM_TOKENS_MAX, ROOM_TOKENS_MIN
from .pass_cost import PassCost
from .prefill_budget import PrefillBudget
from .prefix_store import prefix_store

if TYPE_CHECKING:
    from llguidance import LLTokenizer

    from ..kv.quantized import KvQuantization
    from ..models.gguf.file import GgufFile
    from .encoder_operations import EncoderOperations
    from .first_passes import FirstPasses
    from .prefix_disk import PrefixDisk
    from .prompt_cache import PromptCache
    from .reading import States
    from .runner import MlxRunner
    from .sampling import Sampler

VERSIONS_OF: Final = ("mlx", "mlx-lm", "transformers")
LOAD_PARTS: Final = 4
HASH_ALLOWANCE_MS: Final = 180_000.0
# cuDNN plans attention anew for each length of chunk and keys, 50 ms a chunk.
UNIT_TOKENS_CUDA: Final = 64


@dataclass(frozen=True, slots=True)
class Machine:
    """Where MLX computes, with which native parts, and what memory it may have."""

    on_gpu: bool
    parts: Parts
    budget_bytes: int

    @property
    def is_cuda(self) -> bool:
        return self.on_gpu and expected_backend() == "cuda"

    @property
    def unit_tokens(self) -> int:
        return UNIT_TOKENS_CUDA if self.is_cuda else 1


@dataclass(frozen=True, slots=True)
class Model:
    """What is known of a model once it is in memory."""

    weights: Weights
    text: HfTextModel
    abilities: Abilities
    passes: FirstPasses
    states: States | None
    identity: Identity | None
    quantization: KvQuantization | None

    def caches(self) -> CacheFactory:
        return CacheFactory(self.weights.model, self.abilities, self.quantization)


@dataclass(frozen=True, slots=True)
class Identity:
    """What the numbers that a model computes depend on, as far as its files say. The hash over its
    weights is computed meanwhile."""

    weights: Future[bytes]
    config: bytes


class MlxEngine:
    name = "mlx"

    def __init__(self, *, shares_passes: bool = True) -> None:
        """`shares_passes`: short prompts may be computed together. For measurements."""
        self._shares_passes = shares_passes

    def describe(self) -> tuple[dict[str, str], str]:
        versions = {"python": platform.python_version()}
        for name in VERSIONS_OF:
            versions[name] = version_of(name) or "missing"
        return versions, expected_backend()

    def load(self, model: ModelSource, options: LoadOptions, host: Host) -> tuple[Loaded, Runner]:
        host.loading(0, LOAD_PARTS, "files")
        folder = resolve(model, host.loading)
        if model.kind == "gguf":
            # They need NumPy, which no other start has to wait for here.
            from ..models.gguf.file import read_gguf
            from ..models.gguf.folder import folder_of

            file = read_gguf(folder)
            with folder_of(file) as files:
                return _load(folder, files, options, host, self._shares_passes, file)
        with usable(folder) as files:
            if is_encoder(check_config(folder)):
                return _load_encoder(folder, files, options, host)
            return _load(folder, files, options, host, self._shares_passes)


def _load_encoder(
    folder: Path, files: Path, options: LoadOptions, host: Host
) -> tuple[Loaded, Runner]:
    """An embedding model. `files`: the folder, or its stand-in."""
    if options.kv_bits:
        message = (
            f"{folder}: an embedding model has no keys and values to keep; leave --kv-bits out"
        )
        raise LoadFailed("model_unsupported", message)
    host.loading(1, LOAD_PARTS, "libraries")
    machine = _machine(options)
    from . import encoder as encoders
    from .encoder_runner import EncoderRunner

    host.loading(2, LOAD_PARTS, "weights")
    config = check_config(folder)
    size = sum(path.stat().st_size for path in weight_files(folder))
    check_budget(folder, size, machine.budget_bytes)
    left = machine.budget_bytes - size
    operations = _encoder_operations(machine.parts)
    encoder = encoders.load_encoder(folder, config, machine.on_gpu, operations)
    host.loading(3, LOAD_PARTS, "tokenizer")
    text = load_text(folder, config, options.control_tokens, files)
    text.vocabulary = encoder.vocabulary
    made_for = encoders.context_max(folder, config)
    limits = Capabilities(
        context_max=min(options.context_max or made_for, made_for),
        kv_bytes_per_token=0,
        kv_bytes_fixed=0,
        weights_bytes=size,
        kv_budget_bytes=left,
        kv_alone_bytes=left,
    )
    abilities = Abilities(
        prefix="none",
        prefix_reason="an embedding model makes no text",
        generates=False,
        dimensions=encoder.dimensions,
    )
    host.loading(LOAD_PARTS, LOAD_PARTS, "done")
    loaded = Loaded(limits, text, SamplingDefaults(), machine.parts, abilities)
    return loaded, EncoderRunner(encoder)


def _load(
    folder: Path,
    files: Path,
    options: LoadOptions,
    host: Host,
    shares_passes: bool,
    gguf: GgufFile | None = None,
) -> tuple[Loaded, Runner]:
    """`files`: the folder, or its stand-in. `folder` is the file where the model is one."""
    host.loading(1, LOAD_PARTS, "libraries")
    machine = _machine(options)
    host.loading(2, LOAD_PARTS, "weights")
    weights = _weights(folder, files, gguf, machine, host)
    _accelerate(weights, machine)
    # In memory they may be larger than their files.
    check_budget(folder, weights.size_bytes, machine.budget_bytes)
    identity = _identity(folder, files) if options.prefix_disk_folder else None
    host.loading(3, LOAD_PARTS, "tokenizer and warm-up")
    host.busy("compilation", COMPILE_ALLOWANCE_MS)
    # The tokenizer needs no MLX, and MLX leaves Python alone while it computes.
    with ThreadPoolExecutor(1) as background:
        loading_text = background.submit(
            load_text, folder, weights.config, options.control_tokens, files
        )
        quantization = _quantization(folder, weights.model, options)
        caches = CacheFactory(weights.model, quantization=quantization)
        passes = _first_passes(folder, caches, machine)
        abilities = _abilities(caches, passes.vocabulary, files, machine, quantization)
        text = loading_text.result()
    text.vocabulary = passes.vocabulary
    from .hidden_states import states_of

    states = states_of(weights.model, passes.vocabulary)
    abilities = replace(abilities, dimensions=states.dimensions if states else 0)
    model = Model(weights, text, abilities, passes, states, identity, quantization)
    grammars = _grammars(text, machine.on_gpu)
    limits, prefix_bytes = _limits(model, options, machine)
    runner = _runner(model, limits, prefix_bytes, options, machine, host, shares_passes)
    host.loading(LOAD_PARTS, LOAD_PARTS, "done")
    defaults = sampling_defaults(files if gguf else folder)
    return Loaded(limits, text, defaults, machine.parts, abilities, grammars), runner


def _weights(
    folder: Path, files: Path, gguf: GgufFile | None, machine: Machine, host: Host
) -> Weights:
    if gguf is None:
        return load_weights(folder, machine.budget_bytes, machine.on_gpu, files)

    def report(done: int, total: int) -> None:
        host.loading(2 + done / max(1, total), LOAD_PARTS, "weights")

    return load_gguf(gguf, files, machine.budget_bytes, machine.on_gpu, report)


def _identity(folder: Path, files: Path) -> Identity:
    hashing = ThreadPoolExecutor(1)
    weights = hashing.submit(model_identity.weights_hash, folder)
    hashing.shutdown(wait=False)
    return Identity(weights, (files / "config.json").read_bytes())


def _machine(options: LoadOptions) -> Machine:
    if options.device == "cpu" or expected_backend() == "cpu":
        # Before MLX, which finds its names in it.
        blas.load()
    warm_up.prepare_compiler()
    import_libraries()
    on_gpu = choose_device(options.device)
    parts = mlx_parts(on_gpu)
    require(parts)
    if on_gpu:
        wire_memory()
    budget = options.memory_budget_bytes or int(memory.SHARE_OF_MEMORY * device_bytes(on_gpu))
    return Machine(on_gpu, parts, budget)


def _accelerate(weights: Weights, machine: Machine) -> None:
    """Puts our own mathematics into the model, where it is on."""
    if not machine.on_gpu:
        report = fast.accelerate(weights.model)
        weights.size_bytes = bytes_of(weights.model) + report.packed_bytes
        # Why it is off, the line about all parts says.
        if report.on:
            log(report.describe())
    elif machine.parts["kernels"]["on"]:
        from .. import kernels

        log(kernels.accelerate(weights.model).describe())


def _quantization(folder: Path, model: Any, options: LoadOptions) -> KvQuantization | None:
    if not options.kv_bits:
        return None
    from .kv_quantization import NotQuantizable, quantization_of

    try:
        return quantization_of(
            CacheFactory(model),
            lambda quantization: CacheFactory(model, quantization=quantization),
            options.kv_bits,
        )
    except NotQuantizable as reason:
        message = f"{folder}: --kv-bits {options.kv_bits} can't be used with it: {reason}"
        raise LoadFailed("model_unsupported", f"{message}; leave --kv-bits out") from reason
    except Exception as error:
        raise why_not_run(folder, error) from error


def _first_passes(folder: Path, caches: CacheFactory, machine: Machine) -> FirstPasses:
    from .first_passes import first_passes

    try:
        return first_passes(caches, machine.on_gpu)
    except Exception as error:
        raise why_not_run(folder, error) from error


def _abilities(
    caches: CacheFactory,
    vocabulary: int,
    folder: Path,
    machine: Machine,
    quantization: KvQuantization | None,
) -> Abilities:
    from .abilities import measure

    key = known_abilities.key_of(
        (folder / "config.json").read_bytes(),
        {str(array.dtype) for array in arrays_of(caches.model)},
        [name for name, status in machine.parts.items() if status["on"]],
        ["gpu" if machine.on_gpu else "cpu"],
        [f"KV {quantization}"],
    )
    abilities = known_abilities.known_or_measured(key, lambda: measure(caches, vocabulary))
    abilities = replace(abilities, kv_bits=quantization.bits if quantization else 0)
    if quantization:
        log(f"keys and values are kept as {quantization.bits} bits")
    if not abilities.batch:
        log(f"rows pass through this model one at a time: {abilities.batch_reason}")
    elif not abilities.shared_prefill:
        log(f"each prompt has forward passes of its own: {abilities.shared_reason}")
    if abilities.prefix == "none":
        log(f"no prefixes are kept: {abilities.prefix_reason}")
    return abilities


def _limits(model: Model, options: LoadOptions, machine: Machine) -> tuple[Capabilities, int]:
    """What the model and the memory allow, and the bytes of the prompt cache."""
    weights_bytes, kv_cost = model.weights.size_bytes, model.passes.kv_cost
    kv_budget, prefix_bytes = memory.split_budget(
        machine.budget_bytes, weights_bytes, options.prefix_cache_bytes, options.prefix_cache_share
    )
    if model.abilities.prefix == "none":
        kv_budget, prefix_bytes = kv_budget + prefix_bytes, 0
    made_for = context_max(model.weights.config)
    limits = Capabilities(
        context_max=min(options.context_max or made_for, made_for),
        kv_bytes_per_token=kv_cost.bytes_per_token,
        kv_bytes_fixed=kv_cost.bytes_fixed,
        weights_bytes=weights_bytes,
        kv_budget_bytes=kv_budget,
        kv_alone_bytes=kv_budget + prefix_bytes,
        kv_room=RoomTerms(ROOM_SHARE, ROOM_TOKENS_MIN, ROOM_TOKENS_MAX),
    )
    return limits, prefix_bytes


def _runner(
    model: Model,
    limits: Capabilities,
    prefix_bytes: int,
    options: LoadOptions,
    machine: Machine,
    host: Host,
    shares_passes: bool,
) -> Runner:
    from .runner import MlxRunner

    passes, abilities = model.passes, model.abilities
    caches = model.caches()
    budget = PrefillBudget(
        options.prefill_chunk_tokens,
        passes.cost,
        passes.pass_seconds,
        queues_chunks=machine.is_cuda,
    )
    chunks = chunk_policy(
        deterministic=options.deterministic,
        in_pieces=abilities.pieces,
        unit_tokens=machine.unit_tokens,
    )
    new_runner = partial(
        MlxRunner,
        caches,
        limits=limits,
        vocabulary=passes.vocabulary,
        max_batch=max(1, options.max_batch),
        chunk_policy=chunks,
        on_gpu=machine.on_gpu,
        sampler=_sampler(machine.parts),
        grouping=Grouping(
            limits.kv_bytes_per_token,
            PADDING_BYTES_MAX_GPU if machine.on_gpu else PADDING_BYTES_MAX_CPU,
            alone=not abilities.batch,
            all_padding_bytes_max=limits.kv_budget_bytes
            * (PADDING_OF_MEMORY_GPU if machine.on_gpu else PADDING_OF_MEMORY_CPU),
            apart_tokens=caches.in_place_tokens if caches.reads_in_place else inf,
        ),
        shares_passes=shares_passes and abilities.shared_prefill,
        states=model.states,
    )
    if machine.on_gpu:
        warm_up.compile_all(
            _for_warm_up(new_runner, caches, budget),
            chunk_tokens_max=budget.chunk_tokens_max,
            planned_lengths=chunks.planned_lengths(budget.tokens_max),
            max_batch=max(1, options.max_batch),
            context_max=limits.context_max,
            host=host,
            told=lambda share: host.loading(LOAD_PARTS - 1 + share, LOAD_PARTS, "kernels"),
        )
    prompt_cache = prefix_store(caches, prefix_bytes)
    keeps_short = chunks.reuse_unit_tokens == 1
    return new_runner(
        end_tokens=model.text.end_tokens,
        prefill_budget=budget,
        prompt_cache=prompt_cache,
        disk=_disk(model, caches, prompt_cache, keeps_short, options, machine, host),
        host=host,
    )


def _disk(
    model: Model,
    caches: CacheFactory,
    prompt_cache: PromptCache,
    keeps_short: bool,
    options: LoadOptions,
    machine: Machine,
    host: Host,
) -> PrefixDisk | None:
    if model.identity is None:
        return None
    from . import kv_bytes
    from .disk_store import DiskOptions, open_disk

    files = model.identity
    facts = [
        "gpu" if machine.on_gpu else "cpu",
        "deterministic" if options.deterministic else "free",
        *([] if machine.on_gpu else [f"products {fast.status()['isa']}"]),
        *sorted(name for name, status in machine.parts.items() if status["on"]),
    ]
    # Read once at least, which on a slow disk takes as long as the load did.
    host.busy("hashing the weights", HASH_ALLOWANCE_MS)
    return open_disk(
        DiskOptions(options.prefix_disk_folder, options.prefix_disk_bytes),
        prompt_cache,
        identity=lambda: model_identity.model_identity(files.weights.result(), files.config, facts),
        layout=lambda: kv_bytes.layout_of(caches),
        compute_seconds=model.passes.cost.seconds,
        keeps_short=keeps_short,
    )


def _grammars(text: HfTextModel, on_gpu: bool) -> Grammars:
    def tokenizer() -> LLTokenizer:
        return of_tokenizer(text.tokenizer_json(), text.vocabulary, text.end_tokens)

    grammars = Grammars(tokenizer, text.vocabulary, wants_reading_ahead=True)
    if on_gpu:
        # Kernels are compiled next, for seconds in which Python has little to do. Without them
        # reading would only put off the first answer: it keeps Python from running for so long.
        grammars.read_ahead_beside()
    return grammars


def _for_warm_up(
    new_runner: Callable[..., MlxRunner], caches: CacheFactory, budget: PrefillBudget
) -> warm_up.NewRunner:
    """Its speed says nothing, so each has a budget of its own; it keeps no prefix."""

    def make(chunk_tokens: int, host: Host) -> Runner:
        return new_runner(
            end_tokens=frozenset(),
            prefill_budget=replace(
                budget, chunk_tokens_max=chunk_tokens, cost=PassCost(0, 0, chunk_tokens)
            ),
            prompt_cache=prefix_store(caches, 0),
            host=host,
        )

    return make


def _encoder_operations(parts: Parts) -> EncoderOperations:
    from .encoder_operations import StockOperations

    if not parts["blocks"]["on"]:
        return StockOperations()
    from .fast_encoder import FastOperations

    return FastOperations(tiles=parts["attention"]["on"])


def _sampler(parts: Parts) -> Sampler:
    from .sampling import StockSampler

    if not parts["sampling"]["on"]:
        return StockSampler()
    from .fast_sampler import FastSampler

    return FastSampler()
