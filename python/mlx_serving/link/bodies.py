"""What the fields of each message to the worker must be.

Made by `npm run docs` from src-ts/worker/messages.ts: change that file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..messages import (
    Abort,
    Ack,
    Admission,
    Chat,
    Constraint,
    Embed,
    Load,
    LoadOptions,
    ModelSource,
    NamedTool,
    Prepare,
    PrepareInput,
    Reading,
    ReasoningRequest,
    Sampling,
    Score,
    Spelling,
    Stop,
    Text,
    Texts,
    Tokens,
    Tool,
    ToolOffer,
    ToWorker,
)
from .checks import (
    Check,
    Record,
    Tagged,
    boolean,
    by_type,
    byte_count,
    finite,
    integer,
    json_map,
    json_object_text,
    list_of,
    number,
    one_of,
    optional,
    string,
    token_ids,
    tuple_of,
    u32,
    u64,
)

model_source = Record(
    ModelSource,
    id=string,
    kind=one_of("embedded", "folder", "hub", "gguf", "fake"),
    path=string,
)
load_options = Record(
    LoadOptions,
    maxBatch=u32,
    contextMax=u32,
    memoryBudgetBytes=byte_count,
    device=one_of("auto", "cpu", "gpu"),
    prefillChunkTokens=u32,
    prefixCacheBytes=byte_count,
    prefixCacheShare=number(0, 1),
    prefixDiskFolder=string,
    prefixDiskBytes=byte_count,
    kvBits=one_of(0, 4, 8),
    unackedStepsMax=u32,
    deterministic=boolean,
    controlTokens=one_of("text", "parse"),
    fakeTokensPerSecond=finite,
    fakeLoadMs=finite,
)
load = Record(
    Load,
    model=model_source,
    options=load_options,
)
tool = Record(
    Tool,
    name=string,
    description=string,
    parameters=json_map,
    custom=boolean,
    pattern=optional(string),
    lark=optional(string),
    kept=optional(json_object_text),
    loose=optional(boolean),
)
named_tool = Record(
    NamedTool,
    name=string,
)
tool_offer = Record(
    ToolOffer,
    tools=list_of(tool),
    choice=by_type(one_of("none", "auto", "required"), dict=named_tool),
    parallel=boolean,
)
reasoning_request = Record(
    ReasoningRequest,
    enabled=optional(boolean),
    maxTokens=optional(u32),
)
chat = Record(
    Chat,
    messages=list_of(json_map),
    templateArgs=optional(json_map),
    tools=optional(tool_offer),
    reasoning=optional(reasoning_request),
    foldsSystem=optional(boolean),
    previous=optional(token_ids),
)
text = Record(
    Text,
    text=string,
    special=optional(boolean),
)
tokens = Record(
    Tokens,
    tokens=token_ids,
)
texts = Record(
    Texts,
    texts=list_of(by_type(string, bytes=token_ids)),
)
prepare_input = Tagged[PrepareInput](
    "kind",
    {
        "chat": chat,
        "text": text,
        "tokens": tokens,
        "texts": texts,
    },
)
constraint = Record(
    Constraint,
    kind=one_of("json", "regex", "lark", "choice"),
    text=string,
)
spelling = Record(
    Spelling,
    text=boolean,
    pieces=boolean,
)
prepare = Record(
    Prepare,
    id=u32,
    input=prepare_input,
    constraint=optional(constraint),
    spell=optional(spelling),
    salt=optional(string),
)
sampling = Record(
    Sampling,
    temperature=finite,
    topP=finite,
    topK=u32,
    minP=finite,
    repetitionPenalty=finite,
    presencePenalty=finite,
    frequencyPenalty=finite,
    logitBias=list_of(tuple_of(u32, finite)),
    seed=u64,
    stop=list_of(string),
    logprobs=integer(-1, 20),
)
embed = Record(
    Embed,
    lengths=list_of(u32),
)
score = Record(
    Score,
    top=integer(0, 20),
)
reading = Tagged[Reading](
    "kind",
    {
        "embed": embed,
        "score": score,
    },
)
admission = Record(
    Admission,
    id=u32,
    prompt=token_ids,
    emitted=token_ids,
    maxTokens=u32,
    sampling=sampling,
    chat=boolean,
    priority=optional(one_of("interactive", "normal", "batch")),
    tools=optional(tool_offer),
    reasoning=optional(reasoning_request),
    fakeSay=optional(string),
    constraint=optional(constraint),
    reading=optional(reading),
    salt=optional(string),
)
abort = Record(
    Abort,
    ids=list_of(u32),
)
ack = Record(
    Ack,
    step=u32,
)
stop = Record(Stop)

MESSAGES: Final[Mapping[int, Check[ToWorker]]] = {
    1: load,
    2: prepare,
    4: abort,
    5: ack,
    8: stop,
}
"""By their types on the wire, but those that are read one by one."""
