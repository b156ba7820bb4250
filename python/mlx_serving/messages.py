"""The messages between orchestrator and worker: names and types.

Owns shapes only; `link/frames.py` does the framing, `link/parse.py` checks what comes in. The same
list is kept in `src-ts/worker/messages.ts`. Keys on the wire are camelCase, token ids travel packed
as little-endian u32.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NotRequired, TypedDict, get_args

from .native.choice import Part
from .tools import ReasoningRequest, ToolOffer

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

Finish = Literal["stop", "length", "toolCalls", "failed"]
FailureCode = Literal["generation_error", "out_of_memory"]
RefusalCode = Literal[
    "invalid_prompt",
    "invalid_request",
    "context_length_exceeded",
    "out_of_memory",
    "memory_budget_exceeded",
]


class Violation(Exception):
    """The other side broke the protocol; `code` goes into the `fault` frame."""

    def __init__(self, message: str, code: str = "bad_message") -> None:
        super().__init__(message)
        self.code = code


class Refused(Exception):
    """A `prepare` or an `admit` that this worker cannot serve. `field` names what is to blame."""

    def __init__(self, code: RefusalCode, field: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.field = field


class LoadFailed(Exception):
    """The model cannot be loaded. `code` is stable, the message says what to do."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Chat:
    """`folds_system`: a message of the system's between turns, where the template refuses it,
    becomes a part of the user's. `previous`: tokens of an earlier prompt and its answer, with which
    this one may begin."""

    messages: list[dict[str, Any]]
    template_args: dict[str, Any] = field(default_factory=dict)
    tools: ToolOffer | None = None
    reasoning: ReasoningRequest | None = None
    folds_system: bool = False
    previous: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Text:
    """`special` false: without what the tokenizer puts around a text."""

    text: str
    special: bool = True


@dataclass(frozen=True, slots=True)
class Tokens:
    tokens: list[int]


ControlTokens = Literal["text", "parse"]
"""What control tokens are in the strings of a chat's request."""


@dataclass(frozen=True, slots=True)
class Texts:
    """Several, each a text or tokens, and each read by itself."""

    texts: list[str | list[int]]


PrepareInput = Chat | Text | Tokens | Texts


@dataclass(frozen=True, slots=True)
class Sampling:
    """Neutral values: temperature 0 is greedy, top_p 1, top_k 0, min_p 0, penalties 0
    (repetition 1). `seed`: 64 bits. `logprobs`: -1 none, 0 the sampled token's, n the n likeliest
    too."""

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    seed: int = 0
    stop: tuple[str, ...] = ()
    logprobs: int = -1


ConstraintKind = Literal["json", "regex", "lark", "choice"]


@dataclass(frozen=True, slots=True)
class Constraint:
    """What an answer is kept to: a JSON schema, a regular expression, a grammar in Lark's way, or
    a JSON list of texts of which it is one."""

    kind: ConstraintKind
    text: str


@dataclass(frozen=True, slots=True)
class Embed:
    """A vector of each text is wanted; these have such lengths in the prompt."""

    lengths: list[int]


@dataclass(frozen=True, slots=True)
class Score:
    """The log-probability of each token of the prompt is wanted, and the likeliest in its place."""

    top: int


Reading = Embed | Score

Priority = Literal["interactive", "normal", "batch"]
PRIORITIES: Final[tuple[Priority, ...]] = get_args(Priority)
"""The first one goes first."""


@dataclass(frozen=True, slots=True)
class Admission:
    """One request. `emitted`: tokens that are out already; `max_tokens` counts them too, and 0
    means that the prompt is to be computed and kept, and no token is wanted, or that it is read:
    `reading` says for what. `chat`: its text
    begins a turn, which is read as one; else it goes on from the prompt. `priority`: whose prompt
    goes first. `fake_say`: what the fake engine says instead of its usual text. `salt`: what is
    computed of its prompt is shared with requests of the same one alone."""

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

    @property
    def prefill_only(self) -> bool:
        return self.max_tokens == 0


@dataclass(frozen=True, slots=True)
class ModelSource:
    id: str
    kind: Literal["embedded", "folder", "hub", "gguf", "fake"]
    path: str


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
class Spelling:
    """Of a prompt only its tokens are wanted, however many there are; and in words what all of them
    say, or each."""

    text: bool
    pieces: bool


@dataclass(frozen=True, slots=True)
class Prepare:
    """`salt`: as of the `Admission` that may follow."""

    id: int
    input: PrepareInput
    constraint: Constraint | None = None
    spell: Spelling | None = None
    salt: str = ""


@dataclass(frozen=True, slots=True)
class UnreadableRequest:
    """In the place of a request that its frame names and that can't be read."""

    id: int
    refusal: Refused


@dataclass(frozen=True, slots=True)
class Admit:
    requests: list[Admission | UnreadableRequest]


@dataclass(frozen=True, slots=True)
class Abort:
    ids: list[int]


@dataclass(frozen=True, slots=True)
class Ack:
    step: int


@dataclass(frozen=True, slots=True)
class Stop:
    pass


ToWorker = Load | Prepare | UnreadableRequest | Admit | Abort | Ack | Stop


@dataclass(frozen=True, slots=True)
class SamplingDefaults:
    """How the model's makers want it sampled, for requests that don't say; greedy if they don't."""

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0

    def to_wire(self) -> dict[str, float]:
        return {
            "temperature": self.temperature,
            "topP": self.top_p,
            "topK": self.top_k,
            "minP": self.min_p,
            "repetitionPenalty": self.repetition_penalty,
        }


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the model and the memory allow. `kv_budget_bytes`: for all KV caches together."""

    context_max: int
    kv_bytes_per_token: float
    kv_bytes_fixed: float
    weights_bytes: float
    kv_budget_bytes: float

    def to_wire(self) -> dict[str, float]:
        return {
            "contextMax": self.context_max,
            "kvBytesPerToken": self.kv_bytes_per_token,
            "kvBytesFixed": self.kv_bytes_fixed,
            "weightsBytes": self.weights_bytes,
            "kvBudgetBytes": self.kv_budget_bytes,
        }


PrefixReuse = Literal["part", "whole", "none"]
KvBits = Literal[0, 4, 8]
"""Of each element of keys and values in a cache; 0: they are as they were computed."""
KV_BITS: Final[tuple[KvBits, ...]] = (0, 4, 8)


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

    def to_wire(self) -> dict[str, Any]:
        return {
            "batch": self.batch,
            "batchReason": self.batch_reason,
            "prefix": self.prefix,
            "prefixReason": self.prefix_reason,
            "kvBits": self.kv_bits,
            "generates": self.generates,
            "dimensions": self.dimensions,
        }


def pack_tokens(tokens: list[int]) -> bytes:
    """Token ids as little-endian u32."""
    packed = array("I", tokens)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def unpack_tokens(data: bytes) -> list[int]:
    """The reverse of `pack_tokens`; `len(data)` must be a multiple of 4."""
    packed = array("I")
    packed.frombytes(data)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tolist()


# What the worker sends: the bodies as they go on the wire.


class Hello(TypedDict):
    protocol: int
    versions: dict[str, str]
    backend: str


class Loading(TypedDict):
    done: float
    total: float
    what: str


class PartStatus(TypedDict):
    """Of a native part. `reason`: why it is off, one line, None when it is on; `applicable`: false
    where it could be of no use, as one for the CPU is where MLX computes on the GPU; `missing`: it
    was to be used, and can't."""

    on: bool
    reason: str | None
    applicable: bool
    missing: bool


class Ready(TypedDict):
    limits: dict[str, float]
    sampling: dict[str, float]
    native: Mapping[Part, PartStatus]
    abilities: dict[str, Any]


class LoadFailure(TypedDict):
    code: str
    message: str


class Prepared(TypedDict):
    id: int
    tokens: bytes
    blockHashes: list[str]
    lengths: NotRequired[list[int]]
    """Of several texts, each one's tokens."""
    unbounded: NotRequired[bool]
    """Its reasoning was to be bounded, and this model's can't be: it has none, or none that tokens
    are known to end."""
    text: NotRequired[str]
    """What its tokens say, control tokens by name. Only if asked for, as `pieces`: each."""
    pieces: NotRequired[list[str]]


class Busy(TypedDict):
    reason: str
    allowanceMs: float


class Aborted(TypedDict):
    id: int


class Blocks(TypedDict):
    """What the prefix cache holds now, and what it holds no more, by hashes as those of
    `Prepared`."""

    kept: list[str]
    evicted: list[str]


class Prefill(TypedDict):
    id: int
    done: int
    total: int
    cached: int


class TopLogprob(TypedDict):
    token: str
    bytes: list[int]
    logprob: float


class TokenLogprob(TypedDict):
    token: str
    bytes: list[int]
    logprob: float
    top: list[TopLogprob]


class ReadLogprob(TypedDict):
    """`logprob`: None of the first token, which has nothing before it."""

    token: str
    bytes: list[int]
    logprob: float | None
    top: list[TopLogprob]


class Read(TypedDict):
    """What has been read, before `Ended`. `vectors`: float32, of all texts one after another."""

    id: int
    vectors: NotRequired[bytes]
    logprobs: NotRequired[list[ReadLogprob]]


Piece = (
    tuple[Literal["content", "reasoning", "call", "arguments", "forced"], str]
    | tuple[Literal["callEnd"], bool]
)
"""What became certain of a turn: text of the message or of the reasoning, the name of a tool that
is called, text of its arguments (of a custom tool: of its input), whether these came to their end;
without text, that the token was forced: the model had no choice.
"""
Said = str | list[Piece]
"""A string where there is nothing but text of the message. A token that is read inside of reasoning
has a piece of it, if an empty one: reasoning tokens are counted by it."""
StepRow = tuple[int, int, int, Said] | tuple[int, int, int, Said, TokenLogprob]


class Step(TypedDict):
    step: int
    rows: list[StepRow]


class Ended(TypedDict):
    id: int
    finish: Finish
    code: NotRequired[FailureCode]
    message: NotRequired[str]
    stop: NotRequired[str]
    """The stop string that ended it, if one did."""
    tail: Said


class Refusal(TypedDict):
    id: int
    code: RefusalCode
    field: str
    message: str


class NativeFigures(TypedDict):
    """`metrics`: of the requests of this worker since its start, in ms and requests per second,
    by either collector; `pool`: None when frames are not staged."""

    module: dict[str, Any]
    metrics: dict[str, float]
    pool: dict[str, int] | None


class GrammarFigures(TypedDict):
    """Of this worker since its start. `requests`: ended that had a grammar; `refused`: grammars
    that could not be compiled. Masks are counted when their request ends. `compileTimes`: bounds
    in ms, rising, each with how many took at most so long and longer than the one before."""

    requests: int
    refused: int
    compiled: int
    compileMs: float
    compileTimes: list[tuple[float, int]]
    masks: int
    maskMs: float


class PrefixFigures(TypedDict):
    """Of this worker's prompt cache since its start. `entries`: blocks or records that are kept.
    Tokens of prompts, found or not, and why not."""

    entries: int
    hitTokens: int
    neverSeenTokens: int
    evictedTokens: int
    otherSaltTokens: int
    belowBlockTokens: int
    evictions: int


class DiskFigures(TypedDict):
    """Of the prompt cache's tier on disk, which may be off although it was asked for. What it
    holds, as far as this worker has looked; the rest since the worker's start, in blocks, but
    `hitTokens`, and `misses` and `slow`, which are of requests."""

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


FromWorkerBody = (
    Hello
    | Loading
    | Ready
    | LoadFailure
    | Prepared
    | Busy
    | Aborted
    | Blocks
    | Read
    | Prefill
    | Step
    | Ended
    | Refusal
    | Telemetry
    | Fault
)
