"""The messages between orchestrator and worker: names and types.

Made by `npm run docs` from messages.ts and figures.ts in src-ts/worker, which say what they mean:
change those. Keys on the wire are camelCase; token ids travel packed as little-endian u32.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NotRequired, TypedDict

LINK_VERSION: Final = 3

TO_WORKER_TYPES: Final[Mapping[str, int]] = {
    "load": 1,
    "prepare": 2,
    "admit": 3,
    "abort": 4,
    "ack": 5,
    "stop": 8,
}
FROM_WORKER_TYPES: Final[Mapping[str, int]] = {
    "hello": 32,
    "loading": 33,
    "ready": 34,
    "loadFailed": 35,
    "prepared": 36,
    "busy": 37,
    "aborted": 38,
    "prefill": 40,
    "step": 41,
    "ended": 42,
    "refused": 43,
    "telemetry": 44,
    "fault": 45,
    "blocks": 46,
    "read": 47,
}

# What comes from the orchestrator.


@dataclass(frozen=True, slots=True)
class ModelSource:
    id: str
    kind: Literal["embedded", "folder", "hub", "gguf", "fake"]
    path: str


KvBits = Literal[0, 4, 8]

ControlTokens = Literal["text", "parse"]


@dataclass(frozen=True, slots=True)
class LoadOptions:
    max_batch: int
    context_max: int
    memory_budget_bytes: int
    device: Literal["auto", "cpu", "gpu"]
    prefill_chunk_tokens: int
    prefix_cache_bytes: int
    prefix_cache_share: float
    prefix_disk_folder: str
    prefix_disk_bytes: int
    kv_bits: KvBits
    unacked_steps_max: int
    deterministic: bool
    control_tokens: ControlTokens
    fake_tokens_per_second: float
    fake_load_ms: float


@dataclass(frozen=True, slots=True)
class Load:
    model: ModelSource
    options: LoadOptions


@dataclass(frozen=True, slots=True)
class Tool:
    name: str
    description: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    custom: bool = False
    pattern: str | None = None
    lark: str | None = None
    kept: str | None = None
    loose: bool = False


@dataclass(frozen=True, slots=True)
class NamedTool:
    name: str


ToolChoice = Literal["none", "auto", "required"] | NamedTool


@dataclass(frozen=True, slots=True)
class ToolOffer:
    tools: Sequence[Tool]
    choice: ToolChoice = "auto"
    parallel: bool = True


@dataclass(frozen=True, slots=True)
class ReasoningRequest:
    enabled: bool | None = None
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Chat:
    messages: Sequence[dict[str, Any]]
    template_args: dict[str, Any] = field(default_factory=dict)
    tools: ToolOffer | None = None
    reasoning: ReasoningRequest | None = None
    folds_system: bool = False
    previous: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Text:
    text: str
    special: bool = True


@dataclass(frozen=True, slots=True)
class Tokens:
    tokens: list[int]


@dataclass(frozen=True, slots=True)
class Texts:
    texts: Sequence[str | list[int]]


PrepareInput = Chat | Text | Tokens | Texts

ConstraintKind = Literal["json", "regex", "lark", "choice"]


@dataclass(frozen=True, slots=True)
class Constraint:
    kind: ConstraintKind
    text: str


@dataclass(frozen=True, slots=True)
class Spelling:
    text: bool
    pieces: bool


@dataclass(frozen=True, slots=True)
class Prepare:
    id: int
    input: PrepareInput
    constraint: Constraint | None = None
    spell: Spelling | None = None
    salt: str = ""


@dataclass(frozen=True, slots=True)
class Sampling:
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Sequence[tuple[int, float]] = ()
    seed: int = 0
    stop: Sequence[str] = ()
    logprobs: int = -1


Priority = Literal["interactive", "normal", "batch"]


@dataclass(frozen=True, slots=True)
class Embed:
    lengths: Sequence[int]


@dataclass(frozen=True, slots=True)
class Score:
    top: int


Reading = Embed | Score


@dataclass(frozen=True, slots=True)
class Admission:
    id: int
    prompt: list[int]
    emitted: list[int]
    max_tokens: int
    sampling: Sampling
    chat: bool = True
    priority: Priority = "normal"
    tools: ToolOffer | None = None
    reasoning: ReasoningRequest | None = None
    fake_say: str | None = None
    constraint: Constraint | None = None
    reading: Reading | None = None
    salt: str = ""


@dataclass(frozen=True, slots=True)
class Admit:
    requests: Sequence[Admission]


@dataclass(frozen=True, slots=True)
class Abort:
    ids: Sequence[int]


@dataclass(frozen=True, slots=True)
class Ack:
    step: int


@dataclass(frozen=True, slots=True)
class Stop:
    pass


ToWorker = Load | Prepare | Admit | Abort | Ack | Stop

# What the worker sends: the bodies as they go on the wire.


class Hello(TypedDict):
    protocol: int
    versions: Mapping[str, str]
    backend: str


class Loading(TypedDict):
    done: float
    total: float
    what: str


class RoomTerms(TypedDict):
    oneIn: int
    tokensMin: int
    tokensMax: int


class Capabilities(TypedDict):
    contextMax: int
    kvBytesPerToken: float
    kvBytesFixed: float
    weightsBytes: float
    kvBudgetBytes: float
    kvAloneBytes: float
    kvRoom: RoomTerms


class SamplingDefaults(TypedDict):
    temperature: float
    topP: float
    topK: int
    minP: float
    repetitionPenalty: float


NativePart = Literal[
    "pool",
    "metrics",
    "blas",
    "products",
    "blocks",
    "attention",
    "sampling",
    "kernels",
]


class NativePartStatus(TypedDict):
    on: bool
    reason: str | None
    applicable: bool
    missing: bool


NativeParts = Mapping[NativePart, NativePartStatus]

PrefixReuse = Literal["part", "whole", "none"]


class Abilities(TypedDict):
    batch: bool
    batchReason: str | None
    prefix: PrefixReuse
    prefixReason: str | None
    kvBits: KvBits
    generates: bool
    dimensions: int


class Ready(TypedDict):
    limits: Capabilities
    sampling: SamplingDefaults
    native: NativeParts
    abilities: Abilities


class LoadFailure(TypedDict):
    code: str
    message: str


class Prepared(TypedDict):
    id: int
    tokens: bytes
    blockHashes: list[str]
    lengths: NotRequired[list[int]]
    unbounded: NotRequired[bool]
    text: NotRequired[str]
    pieces: NotRequired[list[str]]


class Busy(TypedDict):
    reason: str
    allowanceMs: float


class Aborted(TypedDict):
    id: int


class Prefill(TypedDict):
    id: int
    done: int
    total: int
    cached: int


Piece = (
    tuple[Literal["content", "reasoning", "call", "arguments", "forced"], str]
    | tuple[Literal["callEnd"], bool]
)

Said = str | list[Piece]


class TopLogprob(TypedDict):
    token: str
    bytes: list[int]
    logprob: float


class TokenLogprob(TypedDict):
    token: str
    bytes: list[int]
    logprob: float
    top: list[TopLogprob]


StepRow = tuple[int, int, int, Said] | tuple[int, int, int, Said, TokenLogprob]


class Step(TypedDict):
    step: int
    rows: list[StepRow]


Finish = Literal["stop", "length", "toolCalls", "failed"]

FailureCode = Literal["generation_error", "out_of_memory"]


class Ended(TypedDict):
    id: int
    finish: Finish
    code: NotRequired[FailureCode]
    message: NotRequired[str]
    stop: NotRequired[str]
    tail: Said


RefusalCode = Literal[
    "invalid_prompt",
    "invalid_request",
    "context_length_exceeded",
    "out_of_memory",
    "memory_budget_exceeded",
]


class Refusal(TypedDict):
    id: int
    code: RefusalCode
    field: str
    message: str


class NativeModule(TypedDict):
    on: bool
    version: str | None
    reason: str | None


class NativeMetrics(TypedDict):
    totalRequests: int
    completedRequests: int
    failedRequests: int
    averageLatencyMs: float
    p50LatencyMs: float
    p95LatencyMs: float
    p99LatencyMs: float
    throughputRps: float


class NativePool(TypedDict):
    poolSize: int
    available: int
    totalAcquired: int
    totalReleased: int
    cacheHits: int
    cacheMisses: int


class NativeFigures(TypedDict):
    module: NativeModule
    metrics: NativeMetrics
    pool: NativePool | None


class GrammarFigures(TypedDict):
    requests: int
    refused: int
    compiled: int
    compileMs: float
    compileTimes: list[tuple[float, int]]
    masks: int
    maskMs: float


class PrefixFigures(TypedDict):
    entries: int
    hitTokens: int
    neverSeenTokens: int
    evictedTokens: int
    otherSaltTokens: int
    belowBlockTokens: int
    evictions: int


class DiskFigures(TypedDict):
    on: bool
    blocks: int
    bytes: float
    pending: int
    hits: int
    hitTokens: int
    misses: int
    writes: int
    drops: int
    evictions: int
    unfit: int
    readErrors: int
    writeErrors: int
    slow: int


class Telemetry(TypedDict):
    running: int
    waiting: int
    steps: int
    prefixCacheBytes: float
    kvBytes: float
    memoryBytes: float
    native: NotRequired[NativeFigures]
    grammars: NotRequired[GrammarFigures]
    prefixes: NotRequired[PrefixFigures]
    prefixDisk: NotRequired[DiskFigures]


class Fault(TypedDict):
    code: str
    message: str
    native: NotRequired[NativeFigures]


class Blocks(TypedDict):
    kept: list[str]
    evicted: list[str]


class ReadLogprob(TypedDict):
    token: str
    bytes: list[int]
    logprob: float | None
    top: list[TopLogprob]


class Read(TypedDict):
    id: int
    vectors: NotRequired[bytes]
    logprobs: NotRequired[list[ReadLogprob]]


FromWorkerBody = (
    Hello
    | Loading
    | Ready
    | LoadFailure
    | Prepared
    | Busy
    | Aborted
    | Prefill
    | Step
    | Ended
    | Refusal
    | Telemetry
    | Fault
    | Blocks
    | Read
)
