"""Every message to the worker: the right shape is taken, any other is a violation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from mlx_serving import messages
from mlx_serving.messages import FROM_WORKER_TYPES, TO_WORKER_TYPES, Violation, pack_tokens
from mlx_serving.parse import parse

from orchestrator import admission, load_options, sampling

SCHEMAS = Path(__file__).resolve().parents[2] / "src-ts" / "worker" / "messages.ts"

GOOD: dict[str, dict[str, Any]] = {
    "load": {"model": {"id": "m", "kind": "folder", "path": "/m"}, "options": load_options()},
    "prepare": {
        "id": 1,
        "input": {
            "kind": "chat",
            "messages": [{"role": "user", "content": "x"}],
            "templateArgs": {"tools": []},
        },
    },
    "admit": {"requests": [admission(1, emitted=[3], logitBias=[[5, -1.5]], stop=["a"])]},
    "abort": {"ids": [1, 2]},
    "ack": {"step": 3},
    "ping": {"n": 0},
    "drain": {},
    "stop": {},
}


def parsed(name: str, body: object) -> messages.ToWorker:
    return parse(TO_WORKER_TYPES[name], body)


def test_type_bytes_are_those_of_the_schemas() -> None:
    source = SCHEMAS.read_text()
    for name, types in (("toWorkerTypes", TO_WORKER_TYPES), ("fromWorkerTypes", FROM_WORKER_TYPES)):
        block = re.search(rf"{name} = {{(.*?)}}", source, re.S)
        assert block is not None
        pairs = {key: int(value) for key, value in re.findall(r"(\w+): (\d+)", block[1])}
        assert pairs == dict(types)


@pytest.mark.parametrize("name", GOOD)
def test_right_shapes(name: str) -> None:
    assert type(parsed(name, GOOD[name])).__name__.lower() == name


def test_values_arrive() -> None:
    admit = parsed("admit", GOOD["admit"])
    assert isinstance(admit, messages.Admit)
    request = admit.requests[0]
    assert request.prompt == list(b"hello") and request.emitted == [3]
    assert request.sampling.logit_bias == ((5, -1.5),) and request.sampling.stop == ("a",)
    assert request.max_tokens == 40


@pytest.mark.parametrize("seed", [0, 2**32, 2**53 + 1, 2**63 - 1, 2**64 - 1])
def test_a_seed_has_64_bits(seed: int) -> None:
    admit = parsed("admit", {"requests": [admission(1, seed=seed)]})
    assert isinstance(admit, messages.Admit) and admit.requests[0].sampling.seed == seed


def test_inputs_of_prepare() -> None:
    for body, expected in (
        ({"kind": "text", "text": "x"}, messages.Text("x")),
        ({"kind": "tokens", "tokens": pack_tokens([1, 70000])}, messages.Tokens([1, 70000])),
        ({"kind": "chat", "messages": []}, messages.Chat([], {})),
    ):
        prepare = parsed("prepare", {"id": 1, "input": body})
        assert isinstance(prepare, messages.Prepare) and prepare.input == expected


@pytest.mark.parametrize("name", GOOD)
def test_unknown_and_missing_keys(name: str) -> None:
    with pytest.raises(Violation):
        parsed(name, {**GOOD[name], "extra": 1})
    for key in GOOD[name]:
        with pytest.raises(Violation):
            parsed(name, {k: v for k, v in GOOD[name].items() if k != key})
    with pytest.raises(Violation):
        parsed(name, [GOOD[name]])


def with_sampling(**changes: Any) -> dict[str, Any]:
    return {"requests": [{**admission(1), "sampling": {**sampling(), **changes}}]}


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("ping", {"n": -1}),
        ("ping", {"n": 1 << 32}),
        ("ping", {"n": 1.0}),
        ("ping", {"n": True}),
        ("abort", {"ids": [1, "2"]}),
        ("abort", {"ids": 1}),
        ("admit", {"requests": [{**admission(1), "prompt": b"123"}]}),
        ("admit", {"requests": [{**admission(1), "prompt": [1]}]}),
        ("admit", with_sampling(temperature=float("nan"))),
        ("admit", with_sampling(temperature="1")),
        ("admit", with_sampling(logprobs=21)),
        ("admit", with_sampling(logprobs=-2)),
        ("admit", with_sampling(logitBias=[[1]])),
        ("admit", with_sampling(logitBias=[[-1, 0.5]])),
        ("admit", with_sampling(stop="x")),
        ("admit", with_sampling(seed=-1)),
        ("admit", with_sampling(seed=1 << 64)),
        ("admit", with_sampling(seed=7.0)),
        ("admit", with_sampling(extra=1)),
        ("admit", {"requests": [{**admission(1), "chat": 1}]}),
        ("prepare", {"id": 1, "input": {"kind": "picture"}}),
        ("prepare", {"id": 1, "input": {"kind": "text", "text": 1}}),
        ("prepare", {"id": 1, "input": {"kind": "chat", "messages": ["x"]}}),
        ("prepare", {"id": 1, "input": {"kind": "chat", "messages": [], "more": 1}}),
        ("load", {**GOOD["load"], "options": {**load_options(), "device": "tpu"}}),
        ("load", {**GOOD["load"], "options": {**load_options(), "deterministic": 1}}),
        ("load", {**GOOD["load"], "options": {**load_options(), "memoryBudgetBytes": -1}}),
        ("load", {**GOOD["load"], "options": {**load_options(), "prefixCacheShare": 1.5}}),
        ("load", {**GOOD["load"], "options": {**load_options(), "prefixCacheShare": -0.1}}),
        ("load", {**GOOD["load"], "options": {**load_options(), "prefixCacheShare": None}}),
        ("load", {**GOOD["load"], "options": {**load_options(), "controlTokens": "off"}}),
    ],
)
def test_wrong_values(name: str, body: object) -> None:
    with pytest.raises(Violation):
        parsed(name, body)


def test_unknown_types() -> None:
    for type_byte in (0, 9, 32, 255):
        with pytest.raises(Violation) as caught:
            parse(type_byte, {})
        assert caught.value.code == "unknown_type"
