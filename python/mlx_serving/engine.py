"""The port between the engine loop and an engine.

An engine loads a model and gives a runner, which computes tokens. Neither knows a frame, a socket
or a text. The engine thread alone calls their methods; other threads call those of the `TextModel`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from . import messages
from .grammar.grammars import Grammars
from .grammar.matcher import Matcher
from .messages import (
    Admission,
    FailureCode,
    Finish,
    KvBits,
    LoadOptions,
    ModelSource,
    NativePart,
    NativePartStatus,
    PrefixReuse,
)
from .text.model import TextModel


@dataclass(frozen=True, slots=True)
class SamplingDefaults:
    """How the model's makers want it sampled, for requests that don't say; greedy if they don't."""

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0

    def to_wire(self) -> messages.SamplingDefaults:
        return {
            "temperature": self.temperature,
            "topP": self.top_p,
            "topK": self.top_k,
            "minP": self.min_p,
            "repetitionPenalty": self.repetition_penalty,
        }


@dataclass(frozen=True, slots=True)
class RoomTerms:
    """What a KV cache holds for tokens to come: one in so many of its tokens, within bounds."""

    one_in: int
    tokens_min: int
    tokens_max: int

    def to_wire(self) -> messages.RoomTerms:
        return {
            "oneIn": self.one_in,
            "tokensMin": self.tokens_min,
            "tokensMax": self.tokens_max,
        }


NO_ROOM: Final = RoomTerms(1, 0, 0)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the model and the memory allow. `kv_budget_bytes`: for all KV caches together, each with
    its room; `kv_alone_bytes`: for one with no other beside it, to which the prefix cache gives
    way."""

    context_max: int
    kv_bytes_per_token: float
    kv_bytes_fixed: float
    weights_bytes: float
    kv_budget_bytes: float
    kv_alone_bytes: float
    kv_room: RoomTerms = NO_ROOM

    def to_wire(self) -> messages.Capabilities:
        return {
            "contextMax": self.context_max,
            "kvBytesPerToken": self.kv_bytes_per_token,
            "kvBytesFixed": self.kv_bytes_fixed,
            "weightsBytes": self.weights_bytes,
            "kvBudgetBytes": self.kv_budget_bytes,
            "kvAloneBytes": self.kv_alone_bytes,
            "kvRoom": self.kv_room.to_wire(),
        }


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a model was seen to do when it was loaded. `batch`: rows decode in one forward pass,
    else each in its own. `prefix`: how much of a cached prompt may be used again; `pieces`: a
    prompt may be prefilled in pieces; `kv_bits`: what it was seen with; `shared_prefill`: nothing
    was wrong when several prompts were prefilled in one pass, which is tried where they may be;
    `generates`: false of an embedding model; `dimensions`: of a text's vector, 0 if it has none.
    The reasons are one line each, None where nothing is amiss.
    """

    batch: bool = True
    batch_reason: str | None = None
    prefix: PrefixReuse = "part"
    prefix_reason: str | None = None
    pieces: bool = True
    kv_bits: KvBits = 0
    shared_prefill: bool = True
    shared_reason: str | None = None
    generates: bool = True
    dimensions: int = 0

    def to_wire(self) -> messages.Abilities:
        return {
            "batch": self.batch,
            "batchReason": self.batch_reason,
            "prefix": self.prefix,
            "prefixReason": self.prefix_reason,
            "kvBits": self.kv_bits,
            "generates": self.generates,
            "dimensions": self.dimensions,
        }


@dataclass(slots=True)
class RowLogprobs:
    """Natural logarithms; `top` is sorted, the likeliest first."""

    logprob: float
    top: list[tuple[int, float]]


# request id, index of the token, token id, logprobs if asked for
Row = tuple[int, int, int, RowLogprobs | None]


@dataclass(slots=True)
class End:
    """A request that ended by itself, after its last row."""

    id: int
    finish: Finish
    code: FailureCode | None = None
    message: str = ""


@dataclass(slots=True)
class PrefillProgress:
    """`done` of `total` tokens are computed; `cached` of the prompt's came from the prefix cache.
    `total` is reached before or with the first new token."""

    id: int
    done: int
    total: int
    cached: int


@dataclass(slots=True)
class ReadResult:
    """What has been read of a request that only reads: vectors of all its texts, as float32, or its
    tokens in their order; the first of a prompt has no log-probability."""

    id: int
    vectors: bytes | None = None
    logprobs: Sequence[tuple[int, RowLogprobs | None]] = ()


@dataclass(slots=True)
class StepOutput:
    """What one call of `Runner.step` did. `rows` is one decode step of the whole batch; `kept` and
    `evicted`: hashes of blocks that the prompt cache holds now, and of those that it holds no
    more."""

    prefills: list[PrefillProgress] = field(default_factory=list)
    rows: Sequence[Row] = ()
    reads: list[ReadResult] = field(default_factory=list)
    ends: list[End] = field(default_factory=list)
    kept: Sequence[str] = ()
    evicted: Sequence[str] = ()


@dataclass(slots=True)
class PrefixCounts:
    """Since the start: tokens of matches, found or not, and why not: no such beginning was ever
    kept, or it has been evicted, or another salt has it, or it ends between two borders at which a
    beginning can be used. `evictions`: blocks or records."""

    hit: int = 0
    never_seen: int = 0
    evicted: int = 0
    other_salt: int = 0
    below_block: int = 0
    evictions: int = 0


@dataclass(slots=True)
class DiskCounts:
    """Of the prefix cache's tier on disk, since the start. `hits`: blocks that were read, with
    `hit_tokens`; `misses`: prompts that went on where no block was; `writes`; `drops`: blocks that
    were evicted from memory before they were written, or stand behind one that couldn't be;
    `unfit`: files that are damaged or another model's; `slow`: runs that computing was faster than.
    Now: `blocks` and their `size_bytes`, and how many are `pending`."""

    on: bool
    blocks: int = 0
    size_bytes: int = 0
    pending: int = 0
    hits: int = 0
    hit_tokens: int = 0
    misses: int = 0
    writes: int = 0
    drops: int = 0
    evictions: int = 0
    unfit: int = 0
    read_errors: int = 0
    write_errors: int = 0
    slow: int = 0


@dataclass(slots=True)
class EngineFigures:
    """Figures for `telemetry`, in requests and bytes. `prefix_entries`: blocks or records in the
    prompt cache, where there is one; `prefix_counts`: what has come of it; `disk_counts`: likewise
    of its tier on disk."""

    running: int
    waiting: int
    prefix_cache_bytes: int
    kv_bytes: int
    memory_bytes: int
    prefix_entries: int = 0
    prefix_counts: PrefixCounts | None = None
    disk_counts: DiskCounts | None = None


@dataclass(slots=True)
class Loaded:
    """`native`: the native parts that the engine has to do with."""

    limits: Capabilities
    text: TextModel
    sampling: SamplingDefaults
    native: Mapping[NativePart, NativePartStatus]
    abilities: Abilities = field(default_factory=Abilities)
    grammars: Grammars | None = None
    """None: no answer can be kept to a grammar."""


class Host(Protocol):
    """What an engine may tell while a call is under way."""

    def loading(self, done: float, total: float, what: str) -> None: ...

    def busy(self, reason: str, allowance_ms: float) -> None:
        """To be called before anything that may take seconds."""
        ...

    def prefilled(self, progress: PrefillProgress) -> None:
        """Progress to be told before the call of `step` returns."""
        ...


MESSAGE_CHARACTERS_MAX: Final = 300
OUT_OF_MEMORY: Final = ("out of memory", "bad_alloc", "[malloc", "unable to allocate")


def is_out_of_memory(error: BaseException) -> bool:
    """MLX says it in words: its exceptions are all `RuntimeError`."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(sign in text for sign in OUT_OF_MEMORY)


def failed(id: int, error: BaseException) -> End:
    """The end of a request that an exception was traced to."""
    code: FailureCode = "out_of_memory" if is_out_of_memory(error) else "generation_error"
    text = f"{type(error).__name__}: {str(error)[:MESSAGE_CHARACTERS_MAX]}"
    return End(id, "failed", code, text)


class Engine(Protocol):
    name: str

    def describe(self) -> tuple[dict[str, str], str]:
        """Versions and backend, without loading anything heavy."""
        ...

    def load(self, model: ModelSource, options: LoadOptions, host: Host) -> tuple[Loaded, Runner]:
        """What is known of the model, and what computes with it. Raises `LoadFailed`."""
        ...


class Forcing(Protocol):
    """Of an answer in which some tokens must come: which. It has taken the emitted ones."""

    @property
    def forced(self) -> int | None:
        """The next token; None where any may come."""
        ...

    @property
    def may_force(self) -> bool:
        """False: whatever is taken next, nothing is forced after it."""
        ...

    def take(self, index: int, token: int) -> None:
        """The token at this place; one that was taken before is passed over."""
        ...


class Runner(Protocol):
    """Computes with a loaded model."""

    def insert(
        self, request: Admission, matcher: Matcher | None = None, forcing: Forcing | None = None
    ) -> None:
        """Takes a request in; `matcher`: where its answer is in its grammar, if it has one;
        `forcing`: which tokens must come, if any may. Raises `Refused`; any other exception fails
        this request alone."""
        ...

    def remove(self, id: int) -> None:
        """Forgets a request in any state; unknown ids are fine."""
        ...

    def step(self) -> StepOutput:
        """One decode step for every live row, and a bounded amount of prefill. What it raises
        cannot be traced to one request and ends the process."""
        ...

    def delay_seconds(self) -> float | None:
        """Time until `step` has something to do: 0 is now, None is nothing to do."""
        ...

    def figures(self) -> EngineFigures: ...

    def check(self) -> None:
        """Raises `AssertionError` where what it keeps contradicts itself. For tests."""
        ...

    def finish(self, seconds: float) -> None:
        """Writes what is to outlive the process, as far as there is time. Nothing is called after
        it."""
        ...
