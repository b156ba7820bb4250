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
    TO_WORKER_TYPES,
    Abort,
    Ack,
    Admission,
    Admit,
    Chat,
    Constraint,
    Load,
    LoadOptions,
    ModelSource,
    Prepare,
    PrepareInput,
    Refused,
    Sampling,
    Stop,
    Text,
    Tokens,
    ToWorker,
    UnreadableRequest,
    Violation,
    unpack_tokens,
)
from .garbled import Garbled

_T = TypeVar("_T")
# What comes as JSON is not nested as deep.
DEPTH_MAX: Final = 256
# Of a client's key, in a message.
KEY_CHARACTERS_MAX: Final = 40


class _Misfit(Violation):
    """`path`: where in its frame, or in its request."""

    def __init__(self, path: str, what: str) -> None:
        super().__init__(f"{path} {what}")
        self.path = path


def _u32(value: object, path: str) -> int:
    if type(value) is not int or not 0 <= value <= 0xFFFF_FFFF:
        raise _Misfit(path, "must be an integer from 0 to 4294967295")
    return value


def _u64(value: object, path: str) -> int:
    if type(value) is not int or not 0 <= value < 1 << 64:
        raise _Misfit(path, "must be an integer from 0 to 18446744073709551615")
    return value


def _finite(value: object, path: str) -> float:
    if type(value) not in (int, float):
        raise _Misfit(path, "must be a number")
    number = float(value)  # type: ignore[arg-type]
    if number != number or number in (float("inf"), float("-inf")):
        raise _Misfit(path, "must be finite")
    return number


def _byte_count(value: object, path: str) -> int:
    number = _finite(value, path)
    if number < 0:
        raise _Misfit(path, "must not be negative")
    return int(number)


def _share(value: object, path: str) -> float:
    number = _finite(value, path)
    if not 0 <= number <= 1:
        raise _Misfit(path, "must be from 0 to 1")
    return number


def _string(value: object, path: str) -> str:
    if type(value) is not str:
        raise _Misfit(path, "must be a string")
    if not _is_well_formed(value):
        raise _Misfit(path, "is not valid UTF-8")
    return value


def _is_well_formed(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _json(value: object, path: str, depth: int = 0) -> Any:
    """What JSON can say, since templates expect nothing else."""
    if type(value) is str:
        return _string(value, path)
    if depth > DEPTH_MAX:
        raise _Misfit(path, f"is nested deeper than {DEPTH_MAX} levels")
    if type(value) is list:
        for index, item in enumerate(value):
            _json(item, f"{path}[{index}]", depth + 1)
    elif type(value) is dict:
        for key, item in _object(value, path).items():
            _json(item, f"{path}.{key[:KEY_CHARACTERS_MAX]}", depth + 1)
    elif value is not None and type(value) not in (bool, int, float):
        raise _Misfit(path, "is of a type that JSON does not have")
    return value


def _boolean(value: object, path: str) -> bool:
    if type(value) is not bool:
        raise _Misfit(path, "must be a boolean")
    return value


def _tokens(value: object, path: str) -> list[int]:
    if type(value) is not bytes or len(value) % 4:
        raise _Misfit(path, "must be token ids packed as u32")
    return unpack_tokens(value)


def _list(value: object, path: str) -> list[Any]:
    if type(value) is not list:
        raise _Misfit(path, "must be a list")
    return value


def _record(value: object, path: str, keys: frozenset[str]) -> dict[str, Any]:
    if type(value) is not dict:
        raise _Misfit(path, "must be a map")
    if value.keys() != keys:
        odd = [str(key)[:KEY_CHARACTERS_MAX] for key in value.keys() ^ keys]
        raise _Misfit(path, f"has missing or unknown keys: {', '.join(sorted(odd))}")
    return value


def _object(value: object, path: str) -> dict[str, Any]:
    if type(value) is not dict or not all(type(key) is str for key in value):
        raise _Misfit(path, "must be a map with string keys")
    if not all(map(_is_well_formed, value)):
        raise _Misfit(path, "has a key that is not valid UTF-8")
    return value


def _one_of(value: object, path: str, names: tuple[str, ...]) -> Any:
    if value not in names:
        raise _Misfit(path, f"must be one of {', '.join(names)}")
    return value


_PREPARE_KEYS = frozenset({"id", "input", "constraint"})
_CHAT_KEYS = frozenset({"kind", "messages", "templateArgs"})
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
    {"id", "prompt", "emitted", "maxTokens", "sampling", "chat", "constraint"}
)
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
        "unackedStepsMax",
        "deterministic",
        "controlTokens",
        "fakeTokensPerSecond",
        "fakeLoadMs",
    }
)


def _parse_input(value: object) -> PrepareInput:
    """Its paths are in the words of a client: `messages` or `input`."""
    body = _object(value, "input")
    kind = _one_of(body.get("kind"), "input.kind", ("chat", "text", "tokens"))
    if kind == "text":
        body = _record(value, "input", frozenset({"kind", "text"}))
        return Text(_string(body["text"], "input"))
    if kind == "tokens":
        body = _record(value, "input", frozenset({"kind", "tokens"}))
        return Tokens(_tokens(body["tokens"], "input"))
    body = _record({"templateArgs": {}, **body}, "messages", _CHAT_KEYS)
    messages = [
        _object(_json(message, f"messages[{i}]"), f"messages[{i}]")
        for i, message in enumerate(_list(body["messages"], "messages"))
    ]
    arguments = _json(body["templateArgs"], "templateArgs")
    return Chat(messages, _object(arguments, "templateArgs"))


def _parse_bias(value: object, path: str) -> tuple[tuple[int, float], ...]:
    pairs = _list(value, path)
    if not all(type(pair) is list and len(pair) == 2 for pair in pairs):
        raise _Misfit(path, "must be a list of pairs")
    return tuple((_u32(token, path), _finite(bias, path)) for token, bias in pairs)


def _parse_sampling(value: object, path: str) -> Sampling:
    body = _record(value, path, _SAMPLING_KEYS)
    logprobs = body["logprobs"]
    if type(logprobs) is not int or not -1 <= logprobs <= 20:
        raise _Misfit(f"{path}.logprobs", "must be an integer from -1 to 20")
    return Sampling(
        temperature=_finite(body["temperature"], f"{path}.temperature"),
        top_p=_finite(body["topP"], f"{path}.topP"),
        top_k=_u32(body["topK"], f"{path}.topK"),
        min_p=_finite(body["minP"], f"{path}.minP"),
        repetition_penalty=_finite(body["repetitionPenalty"], f"{path}.repetitionPenalty"),
        presence_penalty=_finite(body["presencePenalty"], f"{path}.presencePenalty"),
        frequency_penalty=_finite(body["frequencyPenalty"], f"{path}.frequencyPenalty"),
        logit_bias=_parse_bias(body["logitBias"], f"{path}.logitBias"),
        seed=_u64(body["seed"], f"{path}.seed"),
        stop=tuple(_string(item, f"{path}.stop") for item in _list(body["stop"], f"{path}.stop")),
        logprobs=logprobs,
    )


def _parse_constraint(value: object) -> Constraint | None:
    """None where nothing is asked for."""
    if value is None:
        return None
    body = _record(value, "constraint", _CONSTRAINT_KEYS)
    kind = _one_of(body["kind"], "constraint.kind", _CONSTRAINT_KINDS)
    text = _string(body["text"], "constraint.text")
    if kind == "choice" and not _is_list_of_texts(text):
        raise _Misfit("constraint.text", "must be a JSON list of strings, and not empty")
    return Constraint(kind, text)


def _is_list_of_texts(text: str) -> bool:
    try:
        choices = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return type(choices) is list and bool(choices) and all(type(one) is str for one in choices)


def _parse_admission(body: dict[str, Any]) -> Admission:
    """Its paths begin at the request."""
    body = _record({"constraint": None, **body}, "request", _ADMISSION_KEYS)
    return Admission(
        id=_u32(body["id"], "id"),
        prompt=_tokens(body["prompt"], "prompt"),
        emitted=_tokens(body["emitted"], "emitted"),
        max_tokens=_u32(body["maxTokens"], "maxTokens"),
        sampling=_parse_sampling(body["sampling"], "sampling"),
        chat=_boolean(body["chat"], "chat"),
        constraint=_parse_constraint(body["constraint"]),
    )


def _parse_load(value: object) -> Load:
    body = _record(value, "load", frozenset({"model", "options"}))
    model = _record(body["model"], "load.model", frozenset({"id", "kind", "path"}))
    options = _record(body["options"], "load.options", _OPTION_KEYS)
    at = "load.options."
    return Load(
        ModelSource(
            id=_string(model["id"], "load.model.id"),
            kind=_one_of(model["kind"], "load.model.kind", ("embedded", "folder", "hub", "fake")),
            path=_string(model["path"], "load.model.path"),
        ),
        LoadOptions(
            max_batch=_u32(options["maxBatch"], at + "maxBatch"),
            context_max=_u32(options["contextMax"], at + "contextMax"),
            memory_budget_bytes=_byte_count(options["memoryBudgetBytes"], at + "memoryBudgetBytes"),
            device=_one_of(options["device"], at + "device", ("auto", "cpu", "gpu")),
            prefill_chunk_tokens=_u32(options["prefillChunkTokens"], at + "prefillChunkTokens"),
            prefix_cache_bytes=_byte_count(options["prefixCacheBytes"], at + "prefixCacheBytes"),
            prefix_cache_share=_share(options["prefixCacheShare"], at + "prefixCacheShare"),
            unacked_steps_max=_u32(options["unackedStepsMax"], at + "unackedStepsMax"),
            deterministic=_boolean(options["deterministic"], at + "deterministic"),
            control_tokens=_one_of(
                options["controlTokens"], at + "controlTokens", ("text", "parse")
            ),
            fake_tokens_per_second=_finite(
                options["fakeTokensPerSecond"], at + "fakeTokensPerSecond"
            ),
            fake_load_ms=_finite(options["fakeLoadMs"], at + "fakeLoadMs"),
        ),
    )


def _parse_prompt(body: dict[str, Any]) -> Prepare:
    body = _record({"constraint": None, **body}, "input", _PREPARE_KEYS)
    constraint = _parse_constraint(body["constraint"])
    return Prepare(body["id"], _parse_input(body["input"]), constraint)


def _named(
    value: object, path: str, parse: Callable[[dict[str, Any]], _T]
) -> _T | UnreadableRequest:
    """One request of a frame, or that it can't be read. Raises `Violation` where it has no name."""
    if type(value) is not dict:
        raise _Misfit(path, "must be a map")
    id = _u32(value.get("id"), f"{path}.id")
    try:
        return parse(value)
    except _Misfit as misfit:
        return _unreadable(id, misfit.path, str(misfit))


def _unreadable(id: int, path: str, message: str) -> UnreadableRequest:
    field = path.partition("[")[0].partition(".")[0]
    # It may name a key that came as no text, and must itself be sent as one.
    said = message.encode(errors="replace").decode()
    return UnreadableRequest(id, Refused("invalid_request", field, said))


def _parse_prepare(value: object) -> Prepare | UnreadableRequest:
    return _named(value, "prepare", _parse_prompt)


def _parse_admit(value: object) -> Admit:
    body = _record(value, "admit", frozenset({"requests"}))
    requests = _list(body["requests"], "admit.requests")
    return Admit(
        [_named(item, f"admit.requests[{i}]", _parse_admission) for i, item in enumerate(requests)]
    )


def _parse_abort(value: object) -> Abort:
    body = _record(value, "abort", frozenset({"ids"}))
    return Abort([_u32(item, "abort.ids") for item in _list(body["ids"], "abort.ids")])


def _parse_ack(value: object) -> Ack:
    return Ack(_u32(_record(value, "ack", frozenset({"step"}))["step"], "ack.step"))


def _parse_stop(value: object) -> Stop:
    _record(value, "stop", frozenset())
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
