"""What a request says of tools and of reasoning: of the right shape, or refused with its field."""

from __future__ import annotations

from typing import Any

import pytest
from mlx_serving import messages
from mlx_serving.link.parse import Admissions, Heard, UnreadableRequest
from mlx_serving.messages import NamedTool, ReasoningRequest, Tool, ToolOffer

from orchestrator import REASONING, WEATHER, admission, offer

from .test_parse import deep, parsed

CHAT = {"kind": "chat", "messages": [{"role": "user", "content": "x"}]}


def prepared(**fields: Any) -> Heard:
    return parsed("prepare", {"id": 5, "input": {**CHAT, **fields}})


def admitted(**fields: Any) -> messages.Admission | UnreadableRequest:
    admit = parsed("admit", {"requests": [{**admission(5), **fields}]})
    assert isinstance(admit, Admissions)
    return admit.requests[0]


def offered(**fields: Any) -> ToolOffer | None:
    """As either message takes it."""
    request, prepare = admitted(tools=offer(**fields)), prepared(tools=offer(**fields))
    assert isinstance(request, messages.Admission) and isinstance(prepare, messages.Prepare)
    assert isinstance(prepare.input, messages.Chat) and prepare.input.tools == request.tools
    return request.tools


def test_tools_arrive() -> None:
    assert offered() == ToolOffer(
        (Tool("get_weather", "The weather.", WEATHER["parameters"]),), "auto", True
    )
    custom = {**WEATHER, "custom": True, "pattern": "a+", "lark": "start: /a/"}
    assert offered(tools=[custom], parallel=False) == ToolOffer(
        (Tool("get_weather", "The weather.", WEATHER["parameters"], True, "a+", "start: /a/"),),
        "auto",
        False,
    )
    many = [{**WEATHER, "name": f"tool_{i}"} for i in range(1024)]
    found = offered(tools=many)
    assert found is not None and [tool.name for tool in found.tools][-1] == "tool_1023"


@pytest.mark.parametrize(
    ("said", "choice"),
    [
        ("none", "none"),
        ("auto", "auto"),
        ("required", "required"),
        ({"name": "get_weather"}, NamedTool("get_weather")),
    ],
)
def test_what_may_be_chosen(said: object, choice: object) -> None:
    found = offered(choice=said)
    assert found is not None and found.choice == choice


@pytest.mark.parametrize(
    ("said", "request_"),
    [
        ({}, ReasoningRequest()),
        ({"enabled": False}, ReasoningRequest(False)),
        ({"enabled": None, "maxTokens": None}, ReasoningRequest()),
        (REASONING, ReasoningRequest(True, 100)),
    ],
)
def test_what_is_said_of_reasoning(said: object, request_: ReasoningRequest) -> None:
    request, prepare = admitted(reasoning=said), prepared(reasoning=said)
    assert isinstance(request, messages.Admission) and request.reasoning == request_
    assert isinstance(prepare, messages.Prepare) and isinstance(prepare.input, messages.Chat)
    assert prepare.input.reasoning == request_


def test_what_is_not_said() -> None:
    for fields in ({}, {"tools": None, "reasoning": None}):
        request, prepare = admitted(**fields), prepared(**fields)
        assert isinstance(request, messages.Admission) and isinstance(prepare, messages.Prepare)
        assert (request.tools, request.reasoning, request.fake_say) == (None, None, None)
        assert prepare.input == messages.Chat(tuple(CHAT["messages"]))  # type: ignore[arg-type]


def test_what_the_fake_engine_is_to_say() -> None:
    request = admitted(fakeSay="<think>x</think>")
    assert isinstance(request, messages.Admission) and request.fake_say == "<think>x</think>"


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"tools": 1}, "tools must be a map"),
    ({"tools": []}, "tools must be a map"),
    ({"tools": {}}, "tools has missing or unknown keys"),
    ({"tools": {**offer(), "strict": True}}, "tools has missing or unknown keys: strict"),
    ({"tools": offer(tools={})}, "tools must be a list"),
    ({"tools": offer(tools=["f"])}, "tools[0] must be a map"),
    ({"tools": offer(tools=[WEATHER, {}])}, "tools[1] has missing or unknown keys"),
    ({"tools": offer(tools=[{**WEATHER, "name": 1}])}, "tools[0].name must be a string"),
    ({"tools": offer(tools=[{**WEATHER, "name": "\ud800"}])}, "tools[0].name is not valid UTF-8"),
    ({"tools": offer(tools=[{**WEATHER, "description": None}])}, "tools[0].description must be"),
    ({"tools": offer(tools=[{**WEATHER, "custom": 1}])}, "tools[0].custom must be a boolean"),
    ({"tools": offer(tools=[{**WEATHER, "pattern": 1}])}, "tools[0].pattern must be a string"),
    ({"tools": offer(tools=[{**WEATHER, "lark": []}])}, "tools[0].lark must be a string"),
    ({"tools": offer(tools=[{**WEATHER, "more": 1}])}, "tools[0] has missing or unknown keys"),
    ({"tools": offer(tools=[{**WEATHER, "parameters": []}])}, "tools[0].parameters must be a map"),
    ({"tools": offer(tools=[{**WEATHER, "parameters": {1: 2}}])}, "must be a map with string keys"),
    ({"tools": offer(tools=[{**WEATHER, "parameters": {"a": b""}}])}, "JSON does not have"),
    ({"tools": offer(tools=[{**WEATHER, "parameters": {"a": deep(900)}}])}, "nested deeper than"),
    ({"tools": offer(tools=[{**WEATHER, "parameters": {"a": "\udfff"}}])}, "is not valid UTF-8"),
    ({"tools": offer(choice="any")}, "tools.choice must be one of none, auto, required"),
    ({"tools": offer(choice=None)}, "tools.choice must be one of"),
    ({"tools": offer(choice=["auto"])}, "tools.choice must be one of"),
    ({"tools": offer(choice={})}, "tools.choice has missing or unknown keys: name"),
    ({"tools": offer(choice={"name": 1})}, "tools.choice.name must be a string"),
    ({"tools": offer(parallel=0)}, "tools.parallel must be a boolean"),
    ({"reasoning": True}, "reasoning must be a map"),
    ({"reasoning": {"effort": "low"}}, "reasoning has missing or unknown keys: effort"),
    ({"reasoning": {"enabled": 1}}, "reasoning.enabled must be a boolean"),
    ({"reasoning": {"maxTokens": -1}}, "reasoning.maxTokens must be an integer"),
    ({"reasoning": {"maxTokens": 1.5}}, "reasoning.maxTokens must be an integer"),
    ({"reasoning": {1: 2}}, "reasoning has missing or unknown keys: 1"),
]


@pytest.mark.parametrize(("fields", "message"), WRONG)
def test_what_cannot_be_read_is_refused_with_its_field(
    fields: dict[str, Any], message: str
) -> None:
    for refused in (admitted(**fields), prepared(**fields)):
        assert isinstance(refused, UnreadableRequest) and refused.id == 5
        assert refused.refusal.code == "invalid_request"
        assert refused.refusal.field == next(iter(fields))
        assert message in str(refused.refusal)
        str(refused.refusal).encode()


def test_texts_to_say_that_are_none() -> None:
    for said in (1, ["x"], "\ud800"):
        refused = admitted(fakeSay=said)
        assert isinstance(refused, UnreadableRequest)
        assert refused.refusal.field == "fakeSay"
