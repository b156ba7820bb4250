"""Every message to the worker: the right shape is taken, any other is a violation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from mlx_serving import messages
from mlx_serving.failures import Violation
from mlx_serving.link.garbled import Garbled
from mlx_serving.link.parse import Admissions, Heard, UnreadableRequest, parse
from mlx_serving.messages import FROM_WORKER_TYPES, TO_WORKER_TYPES
from mlx_serving.tokens import pack_tokens

from orchestrator import REASONING, admission, load_options, offer, sampling

SERVER = Path(__file__).resolve().parents[3] / "src-ts"
SCHEMAS = SERVER / "worker" / "messages.ts"

GOOD: dict[str, dict[str, Any]] = {
    "load": {"model": {"id": "m", "kind": "folder", "path": "/m"}, "options": load_options()},
    "prepare": {
        "id": 1,
        "input": {
            "kind": "chat",
            "messages": [{"role": "user", "content": "x"}],
            "templateArgs": {"tools": []},
            "tools": offer(),
            "reasoning": REASONING,
            "previous": pack_tokens([1, 2]),
        },
    },
    "admit": {
        "requests": [
            {
                **admission(1, emitted=[3], logitBias=[[5, -1.5]], stop=["a"]),
                "tools": offer(choice={"name": "get_weather"}),
                "reasoning": REASONING,
                "fakeSay": "x",
                "priority": "batch",
            }
        ]
    },
    "abort": {"ids": [1, 2]},
    "ack": {"step": 3},
    "stop": {},
}


def parsed(name: str, body: object) -> Heard:
    return parse(TO_WORKER_TYPES[name], body)


def test_type_bytes_are_those_of_the_schemas() -> None:
    source = SCHEMAS.read_text()
    for name, types in (("toWorkerTypes", TO_WORKER_TYPES), ("fromWorkerTypes", FROM_WORKER_TYPES)):
        block = re.search(rf"{name} = {{(.*?)}}", source, re.S)
        assert block is not None
        pairs = {key: int(value) for key, value in re.findall(r"(\w+): (\d+)", block[1])}
        assert pairs == dict(types)


def test_as_many_likeliest_tokens_as_a_client_may_ask_for() -> None:
    limits = (SERVER / "protocol" / "limits.ts").read_text()
    said = re.search(r"topLogprobsMax = (\d+);", limits)
    assert said is not None
    most = int(said[1])
    for count, kind in (
        (-2, UnreadableRequest),
        (-1, messages.Admission),
        (most, messages.Admission),
        (most + 1, UnreadableRequest),
    ):
        admit = parsed("admit", {"requests": [admission(1, logprobs=count)]})
        assert isinstance(admit, Admissions) and isinstance(admit.requests[0], kind), count


@pytest.mark.parametrize("name", GOOD)
def test_right_shapes(name: str) -> None:
    kind = {"admit": "admissions"}.get(name, name)
    assert type(parsed(name, GOOD[name])).__name__.lower() == kind


def test_values_arrive() -> None:
    admit = parsed("admit", GOOD["admit"])
    assert isinstance(admit, Admissions)
    request = admit.requests[0]
    assert isinstance(request, messages.Admission)
    assert request.prompt == list(b"hello") and request.emitted == [3]
    assert request.sampling.logit_bias == ((5, -1.5),) and request.sampling.stop == ("a",)
    assert request.max_tokens == 40


@pytest.mark.parametrize("seed", [0, 2**32, 2**53 + 1, 2**63 - 1, 2**64 - 1])
def test_a_seed_has_64_bits(seed: int) -> None:
    admit = parsed("admit", {"requests": [admission(1, seed=seed)]})
    assert isinstance(admit, Admissions) and admit.requests[0].sampling.seed == seed


def test_inputs_of_prepare() -> None:
    for body, expected in (
        ({"kind": "text", "text": "x"}, messages.Text("x")),
        ({"kind": "text", "text": "x", "special": False}, messages.Text("x", special=False)),
        ({"kind": "tokens", "tokens": pack_tokens([1, 70000])}, messages.Tokens([1, 70000])),
        (
            {"kind": "texts", "texts": ["a", pack_tokens([7])]},
            messages.Texts(("a", [7])),
        ),
        ({"kind": "chat", "messages": []}, messages.Chat(())),
        (
            {"kind": "chat", "messages": [], "previous": pack_tokens([1, 70000])},
            messages.Chat((), previous=[1, 70000]),
        ),
    ):
        prepare = parsed("prepare", {"id": 1, "input": body})
        assert isinstance(prepare, messages.Prepare) and prepare.input == expected


def test_what_of_the_tokens_is_wanted_in_words() -> None:
    body = {"id": 1, "input": {"kind": "text", "text": "x"}}
    spelled = parsed("prepare", {**body, "spell": {"text": True, "pieces": False}})
    assert isinstance(spelled, messages.Prepare)
    assert spelled.spell == messages.Spelling(text=True, pieces=False)
    assert is_wrong("prepare", {**body, "spell": {"text": 1, "pieces": False}})


def is_wrong(name: str, body: object) -> bool:
    """It breaks the link, or it names the request that it is the fault of."""
    try:
        return isinstance(parsed(name, body), UnreadableRequest)
    except Violation:
        return True


@pytest.mark.parametrize("name", GOOD)
def test_unknown_and_missing_keys(name: str) -> None:
    assert is_wrong(name, {**GOOD[name], "extra": 1})
    for key in GOOD[name]:
        assert is_wrong(name, {k: v for k, v in GOOD[name].items() if k != key})
    with pytest.raises(Violation):
        parsed(name, [GOOD[name]])


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("ack", {"step": -1}),
        ("ack", {"step": 1 << 32}),
        ("ack", {"step": 1.0}),
        ("ack", {"step": True}),
        ("abort", {"ids": [1, "2"]}),
        ("abort", {"ids": 1}),
        ("admit", {"requests": 1}),
        ("admit", {"requests": [1]}),
        ("admit", {"requests": [admission(1), {**admission(2), "id": -2}]}),
        ("admit", {"requests": [{**admission(1), "id": "1"}]}),
        ("prepare", {"input": GOOD["prepare"]["input"]}),
        ("prepare", {**GOOD["prepare"], "id": 1 << 32}),
        ("prepare", {**GOOD["prepare"], "id": True}),
        ("load", {**GOOD["load"], "options": {**load_options(), "device": "tpu"}}),
        ("load", {**GOOD["load"], "options": {**load_options(), "deterministic": 1}}),
        ("load", {**GOOD["load"], "options": {**load_options(), "memoryBudgetBytes": -1}}),
        ("load", {**GOOD["load"], "options": {**load_options(), "prefixCacheShare": 1.5}}),
        ("load", {**GOOD["load"], "options": {**load_options(), "prefixCacheShare": -0.1}}),
        ("load", {**GOOD["load"], "options": {**load_options(), "prefixCacheShare": None}}),
        ("load", {**GOOD["load"], "options": {**load_options(), "kvBits": 3}}),
        ("load", {**GOOD["load"], "options": {**load_options(), "kvBits": 8.0}}),
        ("load", {**GOOD["load"], "options": {**load_options(), "kvBits": None}}),
        ("load", {**GOOD["load"], "options": {**load_options(), "controlTokens": "off"}}),
    ],
)
def test_wrong_values_that_no_request_can_answer_for(name: str, body: object) -> None:
    with pytest.raises(Violation):
        parsed(name, body)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"prompt": b"123"}, "prompt"),
        ({"prompt": [1]}, "prompt"),
        ({"emitted": None}, "emitted"),
        ({"maxTokens": 1 << 32}, "maxTokens"),
        ({"more": 1}, "request"),
        ({"\udc80": 1}, "request"),
        ({"sampling": 1}, "sampling"),
        ({"chat": 1}, "chat"),
        ({"priority": "urgent"}, "priority"),
        *(
            ({"sampling": {**sampling(), **changes}}, "sampling")
            for changes in (
                {"temperature": float("nan")},
                {"temperature": "1"},
                {"topK": -1},
                {"seed": 1 << 64},
                {"seed": 7.0},
                {"logprobs": 21},
                {"logprobs": -2},
                {"logitBias": [[1]]},
                {"logitBias": [[-1, 0.5]]},
                {"stop": "x"},
                {"stop": ["\udced\udca0\udc80"]},
                {"extra": 1},
            )
        ),
    ],
)
def test_an_admission_that_cannot_be_read_is_refused_alone(
    changes: dict[str, Any], field: str
) -> None:
    bad = {**admission(2), **changes}
    admit = parsed("admit", {"requests": [admission(1), bad, admission(3)]})
    assert isinstance(admit, Admissions)
    first, refused, third = admit.requests
    assert isinstance(first, messages.Admission) and isinstance(third, messages.Admission)
    assert isinstance(refused, UnreadableRequest) and refused.id == 2
    assert (refused.refusal.code, refused.refusal.field) == ("invalid_request", field)
    str(refused.refusal).encode()


def deep(levels: int) -> object:
    return [] if levels == 0 else [deep(levels - 1)]


def said(content: object) -> dict[str, Any]:
    return {"kind": "chat", "messages": [{"role": "user", "content": "x"}, {"content": content}]}


@pytest.mark.parametrize(
    ("input", "field", "message"),
    [
        ({"kind": "picture"}, "input", "input.kind must be one of chat, text, tokens"),
        ({}, "input", "input.kind must be"),
        (None, "input", "input must be a map"),
        ({"kind": "text", "text": 1}, "input", "input must be a string"),
        ({"kind": "text", "text": "a\udc80"}, "input", "input is not valid UTF-8"),
        ({"kind": "tokens", "tokens": b"123"}, "input", "input must be token ids"),
        ({"kind": "chat", "messages": ["x"]}, "messages", "messages[0] must be a map"),
        (
            {"kind": "chat", "messages": [], "more": 1},
            "input",
            "input has missing or",
        ),
        ({"kind": "chat", "messages": [], "templateArgs": []}, "templateArgs", "templateArgs"),
        ({"kind": "chat", "messages": [], "previous": b"abc"}, "previous", "previous"),
        ({"kind": "chat", "messages": [], "previous": [1]}, "previous", "previous"),
        (said("\ud800"), "messages", "messages[1].content is not valid UTF-8"),
        (said([{"text": "\udfff"}]), "messages", "messages[1].content[0].text is not valid UTF-8"),
        (said({"\udc80": 1}), "messages", "messages[1].content has a key that is not"),
        (said({1: 2}), "messages", "messages[1].content must be a map with string keys"),
        (said(b"bytes"), "messages", "messages[1].content is of a type that JSON does not have"),
        (said(deep(900)), "messages", "is nested deeper than"),
    ],
)
def test_a_prompt_that_cannot_be_read_is_refused(input: object, field: str, message: str) -> None:
    refused = parsed("prepare", {"id": 5, "input": input})
    assert isinstance(refused, UnreadableRequest) and refused.id == 5
    assert (refused.refusal.code, refused.refusal.field) == ("invalid_request", field)
    assert message in str(refused.refusal)
    str(refused.refusal).encode()


def test_of_a_payload_that_ends_too_soon_its_request_is_refused() -> None:
    for body in ({"id": 3}, {"id": 3, "input": {"kind": "text", "text": "x"}}):
        refused = parsed("prepare", Garbled(body, False, "torn"))
        assert isinstance(refused, UnreadableRequest) and refused.id == 3
    for name, body in (
        ("prepare", {}),
        ("admit", {}),
        ("admit", GOOD["admit"]),
        ("ack", {"step": 1}),
    ):
        with pytest.raises(Violation) as caught:
            parsed(name, Garbled(body, False, "torn"))
        assert caught.value.code == "bad_payload"
    with pytest.raises(Violation):
        parsed("ack", Garbled({"step": 1}, True, "torn"))


def test_unknown_types() -> None:
    for type_byte in (0, 9, 32, 255):
        with pytest.raises(Violation) as caught:
            parse(type_byte, {})
        assert caught.value.code == "unknown_type"
