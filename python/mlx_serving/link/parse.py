"""Checks of what the orchestrator sends: bytes of a frame in, a typed message out.

Parse once, at the edge: inside, the types of `messages.py` are trusted. A value that does not fit
its shape, an unknown key too, is refused where the frame names its request: `UnreadableRequest`
stands in that request's place, and the frame's other requests go on. Where the frame names no
request, no request could be answered and one would wait for ever: that is a `Violation`, and the
link is broken.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from ..messages import (
    KV_BITS,
    PRIORITIES,
    TO_WORKER_TYPES,
    Abort,
    Ack,
    Admission,
    Admit,
    Chat,
    Constraint,
    Embed,
    KvBits,
    Load,
    LoadOptions,
    ModelSource,
    Prepare,
    PrepareInput,
    Reading,
    Refused,
    Sampling,
    Score,
    Spelling,
    Stop,
    Text,
    Texts,
    Tokens,
    ToWorker,
    UnreadableRequest,
    Violation,
)
from .checks import (
    Misfit,
    array,
    boolean,
    byte_count,
    finite,
    json_value,
    one_of,
    record,
    share,
    string,
    string_map,
    token_ids,
    u32,
    u64,
)
from .garbled import Garbled
from .offer import parse_offer, parse_reasoning

_T = TypeVar("_T")

_PREPARE_KEYS = frozenset({"id", "input", "constraint", "spell", "salt"})
_CHAT_KEYS = frozenset(
    {"kind", "messages", "templateArgs", "tools", "reasoning", "foldsSystem", "previous"}
)
_SAMPLING_KEYS = frozenset(
    {
        "temperature",
        "topP",
        "topK",
        "minP",
        "repetitionPenalty",
        "presencePenalty",
        "frequencyPenalty",
        "logitBias",
        "seed",
        "stop",
        "logprobs",
    }
)
_ADMISSION_KEYS = frozenset(
    {
        "id",
        "prompt",
        "emitted",
        "maxTokens",
        "sampling",
        "chat",
        "priority",
        "tools",
        "reasoning",
        "fakeSay",
        "constraint",
        "reading",
        "salt",
    }
)
# What may be left out, and is as if it were null then.
_TURN_OPTIONAL: Final[Mapping[str, None]] = {"tools": None, "reasoning": None}
_ADMISSION_OPTIONAL: Final[Mapping[str, object]] = {
    **_TURN_OPTIONAL,
    "priority": "normal",
    "fakeSay": None,
    "constraint": None,
    "reading": None,
    "salt": "",
}
_CHAT_OPTIONAL: Final[Mapping[str, object]] = {
    **_TURN_OPTIONAL,
    "templateArgs": {},
    "foldsSystem": False,
    "previous": b"",
}
_CONSTRAINT_KEYS = frozenset({"kind", "text"})
_CONSTRAINT_KINDS = ("json", "regex", "lark", "choice")
_OPTION_KEYS = frozenset(
    {
        "maxBatch",
        "contextMax",
        "memoryBudgetBytes",
        "device",
        "prefillChunkTokens",
        "prefixCacheBytes",
        "prefixCacheShare",
        "prefixDiskFolder",
        "prefixDiskBytes",
        "kvBits",
        "unackedStepsMax",
        "deterministic",
        "controlTokens",
        "fakeTokensPerSecond",
        "fakeLoadMs",
    }
)


def _parse_input(value: object) -> PrepareInput:
    """Its paths are in the words of a client: `messages` or `input`."""
    body = string_map(value, "input")
    kind = one_of(body.get("kind"), "input.kind", ("chat", "text", "tokens", "texts"))
    if kind == "text":
        body = record({"special": True, **body}, "input", frozenset({"kind", "text", "special"}))
        return Text(string(body["text"], "input"), boolean(body["special"], "special"))
    if kind == "tokens":
        body = record(value, "input", frozenset({"kind", "tokens"}))
        return Tokens(token_ids(body["tokens"], "input"))
    if kind == "texts":
        body = record(value, "input", frozenset({"kind", "texts"}))
        texts = array(body["texts"], "input")
        return Texts([_text_or_tokens(one, f"input[{i}]") for i, one in enumerate(texts)])
    body = record({**_CHAT_OPTIONAL, **body}, "messages", _CHAT_KEYS)
    messages = [
        string_map(json_value(message, f"messages[{i}]"), f"messages[{i}]")
        for i, message in enumerate(array(body["messages"], "messages"))
    ]
    arguments = json_value(body["templateArgs"], "templateArgs")
    return Chat(
        messages,
        string_map(arguments, "templateArgs"),
        parse_offer(body["tools"], "tools"),
        parse_reasoning(body["reasoning"], "reasoning"),
        boolean(body["foldsSystem"], "messages"),
        token_ids(body["previous"], "previous"),
    )


def _text_or_tokens(value: object, path: str) -> str | list[int]:
    return token_ids(value, path) if isinstance(value, bytes) else string(value, path)


def _parse_reading(value: object) -> Reading | None:
    if value is None:
        return None
    body = string_map(value, "reading")
    if one_of(body.get("kind"), "reading.kind", ("embed", "score")) == "embed":
        body = record(value, "reading", frozenset({"kind", "lengths"}))
        lengths = array(body["lengths"], "reading.lengths")
        return Embed([u32(length, "reading.lengths") for length in lengths])
    body = record(value, "reading", frozenset({"kind", "top"}))
    top = body["top"]
    if type(top) is not int or not 0 <= top <= 20:
        raise Misfit("reading.top", "must be an integer from 0 to 20")
    return Score(top)


def _parse_bias(value: object, path: str) -> tuple[tuple[int, float], ...]:
    pairs = array(value, path)
    if not all(type(pair) is list and len(pair) == 2 for pair in pairs):
        raise Misfit(path, "must be a list of pairs")
    return tuple((u32(token, path), finite(bias, path)) for token, bias in pairs)


def _parse_sampling(value: object, path: str) -> Sampling:
    body = record(value, path, _SAMPLING_KEYS)
    logprobs = body["logprobs"]
    if type(logprobs) is not int or not -1 <= logprobs <= 20:
        raise Misfit(f"{path}.logprobs", "must be an integer from -1 to 20")
    return Sampling(
        temperature=finite(body["temperature"], f"{path}.temperature"),
        top_p=finite(body["topP"], f"{path}.topP"),
        top_k=u32(body["topK"], f"{path}.topK"),
        min_p=finite(body["minP"], f"{path}.minP"),
        repetition_penalty=finite(body["repetitionPenalty"], f"{path}.repetitionPenalty"),
        presence_penalty=finite(body["presencePenalty"], f"{path}.presencePenalty"),
        frequency_penalty=finite(body["frequencyPenalty"], f"{path}.frequencyPenalty"),
        logit_bias=_parse_bias(body["logitBias"], f"{path}.logitBias"),
        seed=u64(body["seed"], f"{path}.seed"),
        stop=tuple(string(item, f"{path}.stop") for item in array(body["stop"], f"{path}.stop")),
        logprobs=logprobs,
    )


def _parse_constraint(value: object) -> Constraint | None:
    """None where nothing is asked for."""
    if value is None:
        return None
    body = record(value, "constraint", _CONSTRAINT_KEYS)
    kind = one_of(body["kind"], "constraint.kind", _CONSTRAINT_KINDS)
    text = string(body["text"], "constraint.text")
    if kind == "choice" and not _is_list_of_texts(text):
        raise Misfit("constraint.text", "must be a JSON list of strings, and not empty")
    return Constraint(kind, text)


def _is_list_of_texts(text: str) -> bool:
    try:
        choices = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return type(choices) is list and bool(choices) and all(type(one) is str for one in choices)


def _parse_admission(body: dict[str, Any]) -> Admission:
    """Its paths begin at the request."""
    body = record({**_ADMISSION_OPTIONAL, **body}, "request", _ADMISSION_KEYS)
    say = body["fakeSay"]
    return Admission(
        id=u32(body["id"], "id"),
        prompt=token_ids(body["prompt"], "prompt"),
        emitted=token_ids(body["emitted"], "emitted"),
        max_tokens=u32(body["maxTokens"], "maxTokens"),
        sampling=_parse_sampling(body["sampling"], "sampling"),
        chat=boolean(body["chat"], "chat"),
        priority=one_of(body["priority"], "priority", PRIORITIES),
        tools=parse_offer(body["tools"], "tools"),
        reasoning=parse_reasoning(body["reasoning"], "reasoning"),
        fake_say=None if say is None else string(say, "fakeSay"),
        constraint=_parse_constraint(body["constraint"]),
        reading=_parse_reading(body["reading"]),
        salt=string(body["salt"], "salt"),
    )


def _parse_load(value: object) -> Load:
    body = record(value, "load", frozenset({"model", "options"}))
    model = record(body["model"], "load.model", frozenset({"id", "kind", "path"}))
    options = record(body["options"], "load.options", _OPTION_KEYS)
    at = "load.options."
    return Load(
        ModelSource(
            id=string(model["id"], "load.model.id"),
            kind=one_of(
                model["kind"],
                "load.model.kind",
                ("embedded", "folder", "hub", "gguf", "fake"),
            ),
            path=string(model["path"], "load.model.path"),
        ),
        LoadOptions(
            max_batch=u32(options["maxBatch"], at + "maxBatch"),
            context_max=u32(options["contextMax"], at + "contextMax"),
            memory_budget_bytes=byte_count(options["memoryBudgetBytes"], at + "memoryBudgetBytes"),
            device=one_of(options["device"], at + "device", ("auto", "cpu", "gpu")),
            prefill_chunk_tokens=u32(options["prefillChunkTokens"], at + "prefillChunkTokens"),
            prefix_cache_bytes=byte_count(options["prefixCacheBytes"], at + "prefixCacheBytes"),
            prefix_cache_share=share(options["prefixCacheShare"], at + "prefixCacheShare"),
            prefix_disk_folder=string(options["prefixDiskFolder"], at + "prefixDiskFolder"),
            prefix_disk_bytes=byte_count(options["prefixDiskBytes"], at + "prefixDiskBytes"),
            kv_bits=_kv_bits(options["kvBits"], at + "kvBits"),
            unacked_steps_max=u32(options["unackedStepsMax"], at + "unackedStepsMax"),
            deterministic=boolean(options["deterministic"], at + "deterministic"),
            control_tokens=one_of(
                options["controlTokens"], at + "controlTokens", ("text", "parse")
            ),
            fake_tokens_per_second=finite(
                options["fakeTokensPerSecond"], at + "fakeTokensPerSecond"
            ),
            fake_load_ms=finite(options["fakeLoadMs"], at + "fakeLoadMs"),
        ),
    )


def _kv_bits(value: object, path: str) -> KvBits:
    # True is 1 to Python, and 8.0 is 8.
    if type(value) is not int or value not in KV_BITS:
        raise Misfit(path, f"must be one of {', '.join(map(str, KV_BITS))}")
    return value


def _parse_prompt(body: dict[str, Any]) -> Prepare:
    body = record({"constraint": None, "spell": None, "salt": "", **body}, "input", _PREPARE_KEYS)
    return Prepare(
        body["id"],
        _parse_input(body["input"]),
        _parse_constraint(body["constraint"]),
        _parse_spelling(body["spell"]),
        string(body["salt"], "salt"),
    )


def _parse_spelling(value: object) -> Spelling | None:
    if value is None:
        return None
    body = record(value, "spell", frozenset({"text", "pieces"}))
    return Spelling(boolean(body["text"], "spell.text"), boolean(body["pieces"], "spell.pieces"))


def _named(
    value: object, path: str, parse: Callable[[dict[str, Any]], _T]
) -> _T | UnreadableRequest:
    """One request of a frame, or that it can't be read. Raises `Violation` where it has no name."""
    if type(value) is not dict:
        raise Misfit(path, "must be a map")
    id = u32(value.get("id"), f"{path}.id")
    try:
        return parse(value)
    except Misfit as misfit:
        return _unreadable(id, misfit.path, str(misfit))


def _unreadable(id: int, path: str, message: str) -> UnreadableRequest:
    field = path.partition("[")[0].partition(".")[0]
    # It may name a key that came as no text, and must itself be sent as one.
    said = message.encode(errors="replace").decode()
    return UnreadableRequest(id, Refused("invalid_request", field, said))


def _parse_prepare(value: object) -> Prepare | UnreadableRequest:
    return _named(value, "prepare", _parse_prompt)


def _parse_admit(value: object) -> Admit:
    body = record(value, "admit", frozenset({"requests"}))
    requests = array(body["requests"], "admit.requests")
    return Admit(
        [_named(item, f"admit.requests[{i}]", _parse_admission) for i, item in enumerate(requests)]
    )


def _parse_abort(value: object) -> Abort:
    body = record(value, "abort", frozenset({"ids"}))
    return Abort([u32(item, "abort.ids") for item in array(body["ids"], "abort.ids")])


def _parse_ack(value: object) -> Ack:
    return Ack(u32(record(value, "ack", frozenset({"step"}))["step"], "ack.step"))


def _parse_stop(value: object) -> Stop:
    record(value, "stop", frozenset())
    return Stop()


_PARSERS: Final[Mapping[int, Callable[[object], ToWorker]]] = {
    TO_WORKER_TYPES["load"]: _parse_load,
    TO_WORKER_TYPES["prepare"]: _parse_prepare,
    TO_WORKER_TYPES["admit"]: _parse_admit,
    TO_WORKER_TYPES["abort"]: _parse_abort,
    TO_WORKER_TYPES["ack"]: _parse_ack,
    TO_WORKER_TYPES["stop"]: _parse_stop,
}


def parse(type_byte: int, body: object) -> ToWorker:
    """The message in a frame from the orchestrator. Raises `Violation`."""
    parser = _PARSERS.get(type_byte)
    if parser is None:
        raise Violation(f"unknown frame type {type_byte}", "unknown_type")
    if not isinstance(body, Garbled):
        return parser(body)
    try:
        message = parser(body.body)
    except Violation as violation:
        raise Violation(f"{body.reason}, and {violation}", "bad_payload") from violation
    if body.whole and isinstance(message, Prepare | UnreadableRequest | Admit):
        return message
    # Its beginning reads well; what comes after can be anything.
    if isinstance(message, Prepare):
        return _unreadable(message.id, "input", f"input: {body.reason}")
    if isinstance(message, UnreadableRequest):
        return message
    raise Violation(body.reason, "bad_payload")
