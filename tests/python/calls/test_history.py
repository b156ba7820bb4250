"""A client's messages as a template takes them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from mlx_serving.calls.families import GENERIC, LFM2
from mlx_serving.calls.format import ReasoningFormat, Tool
from mlx_serving.calls.history import offer, prepare
from mlx_serving.calls.needs import TemplateNeeds
from mlx_serving.failures import Refused

from .support import TOOLS

ALL = TemplateNeeds()
USER = {"role": "user", "content": "Q"}


def call(id: str, name: str = "set_flag", arguments: Any = '{"flag": true}') -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def asks(*calls: dict[str, Any], content: str | None = None) -> dict[str, Any]:
    return {"role": "assistant", "content": content, "tool_calls": list(calls)}


def result(id: str, text: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id, "content": text}


HISTORY = [
    USER,
    asks(call("a"), call("b", "get_weather", "{}")),
    result("b", "B"),
    result("a", "A"),
]


def test_arguments_are_objects_and_results_have_names() -> None:
    made = prepare(HISTORY, TOOLS, GENERIC, ALL)
    calls = made.messages[1]["tool_calls"]
    assert [c["function"]["arguments"] for c in calls] == [{"flag": True}, {}]
    assert [m["name"] for m in made.messages[2:]] == ["set_flag", "get_weather"]
    assert made.messages[1]["content"] == ""
    assert [t["function"]["name"] for t in made.tools or []] == ["get_weather", "set_flag"]


def test_results_come_in_the_order_of_their_calls() -> None:
    other = result("c", "C")
    made = prepare([*HISTORY[:2], other, *HISTORY[2:], USER, other], (), GENERIC, ALL).messages
    assert [m["content"] for m in made[2:]] == ["A", "B", "C", "Q", "C"]


def test_the_clients_messages_stay_as_they_are() -> None:
    before = json.dumps(HISTORY)
    prepare(HISTORY, TOOLS, GENERIC, TemplateNeeds(calls=False, results=False, short_ids=True))
    prepare(HISTORY, TOOLS, GENERIC, TemplateNeeds(short_ids=True, parallel=False))
    assert json.dumps(HISTORY) == before


def test_arguments_as_text_and_no_content() -> None:
    made = prepare(HISTORY, (), GENERIC, TemplateNeeds(arguments_as_text=True, no_content=True))
    assert made.messages[1]["tool_calls"][0]["function"]["arguments"] == '{"flag": true}'
    assert made.messages[1]["content"] is None and made.tools is None


@pytest.mark.parametrize(
    ("bad", "place"),
    [
        (call("a", arguments="{"), "messages[1].tool_calls[0].function.arguments"),
        (call("a", arguments="[1]"), "messages[1].tool_calls[0].function.arguments"),
        (call("a", arguments=7), "messages[1].tool_calls[0].function.arguments"),
        (call("a", arguments="[" * 100_000), "messages[1].tool_calls[0].function.arguments"),
        ({"id": "a", "function": {}}, "messages[1].tool_calls[0]"),
        ({"id": "a"}, "messages[1].tool_calls[0]"),
    ],
)
def test_calls_that_are_none_are_refused(bad: dict[str, Any], place: str) -> None:
    with pytest.raises(Refused) as refused:
        prepare([USER, asks(bad)], (), GENERIC, ALL)
    assert str(refused.value).startswith(f"{place}: must") and refused.value.field == "messages"


@pytest.mark.parametrize("arguments", ["", "{}", {}, None])
def test_no_arguments(arguments: Any) -> None:
    made = prepare([USER, asks(call("a", arguments=arguments))], (), GENERIC, ALL)
    assert made.messages[1]["tool_calls"][0]["function"]["arguments"] == {}


def test_a_custom_tools_call() -> None:
    custom = {"id": "a", "type": "custom", "custom": {"name": "patch", "input": "x\ny"}}
    made = prepare([USER, asks(custom)], (), GENERIC, ALL)
    assert made.messages[1]["tool_calls"][0]["function"] == {
        "name": "patch",
        "arguments": {"input": "x\ny"},
    }


def test_calls_in_the_content() -> None:
    made = prepare([USER, asks(call("a"), content="I do.")], (), LFM2, TemplateNeeds(calls=False))
    assert made.messages[1] == {
        "role": "assistant",
        "content": "I do.\n<|tool_call_start|>[set_flag(flag=true)]<|tool_call_end|>",
    }


def test_one_call_a_turn_each_with_its_result() -> None:
    made = prepare([*HISTORY, USER], (), GENERIC, TemplateNeeds(parallel=False)).messages
    assert [m["role"] for m in made] == ["user", "assistant", "tool", "assistant", "tool", "user"]
    assert [m["tool_calls"][0]["id"] for m in made if m.get("tool_calls")] == ["a", "b"]
    assert [m["content"] for m in made if m["role"] == "tool"] == ["A", "B"]


def test_calls_whose_results_are_missing_stay() -> None:
    made = prepare([USER, HISTORY[1], USER], (), GENERIC, TemplateNeeds(parallel=False)).messages
    assert [m["role"] for m in made] == ["user", "assistant", "assistant", "user"]


def test_results_in_one_text_with_what_the_user_says() -> None:
    made = prepare([*HISTORY, USER, USER], (), GENERIC, TemplateNeeds(results=False)).messages
    assert [m["role"] for m in made] == ["user", "assistant", "user"]
    assert made[2]["content"] == (
        "<tool_response>\nA\n</tool_response>\n<tool_response>\nB\n</tool_response>\nQ\nQ"
    )


def test_short_ids_still_belong_together() -> None:
    made = prepare(HISTORY, (), GENERIC, TemplateNeeds(short_ids=True)).messages
    ids = [c["id"] for c in made[1]["tool_calls"]]
    assert [m["tool_call_id"] for m in made[2:]] == ids and len(set(ids)) == 2
    assert all(len(id) == 9 and id.isalnum() for id in ids)
    kept = prepare([USER, asks(call("abcdefgh1"))], (), GENERIC, TemplateNeeds(short_ids=True))
    assert kept.messages[1]["tool_calls"][0]["id"] == "abcdefgh1"


@pytest.mark.parametrize(("system", "role"), [(True, "system"), (False, "user")])
def test_tools_that_the_template_doesnt_show(system: bool, role: str) -> None:
    needs = TemplateNeeds(tools=False, system=system)
    made = prepare([USER], TOOLS, GENERIC, needs)
    assert made.tools is None and made.messages[0]["role"] == role
    assert offer(TOOLS, GENERIC) in made.messages[0]["content"]
    assert made.messages[-1]["content"].endswith("Q")
    with_system = prepare([{"role": "system", "content": "S"}, USER], TOOLS, GENERIC, needs)
    assert with_system.messages[0]["content"].startswith("S\n\n# Tools")
    assert len(with_system.messages) == 2


def test_an_offer_has_everything_a_model_needs() -> None:
    text = offer(TOOLS, GENERIC)
    assert '{"name": "get_weather", "description": "The weather.", "parameters"' in text
    assert '<tool_call>\n{"name": "NAME", "arguments": {"ARGUMENT": "VALUE"}}\n</tool_call>' in text


def test_parts_of_text_are_one_text() -> None:
    parts = [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}]
    messages = [USER, HISTORY[1], {"role": "tool", "tool_call_id": "a", "content": parts}]
    made = prepare(messages, (), GENERIC, TemplateNeeds(results=False)).messages
    assert made[2]["content"] == "<tool_response>\nAB\n</tool_response>"
    image = [{"type": "image_url", "image_url": {}}]
    kept = prepare([{"role": "user", "content": image}], (), GENERIC, ALL).messages
    assert kept[0]["content"] == image


def test_reasoning_goes_where_the_template_reads_it() -> None:
    said = {"role": "assistant", "content": "A", "reasoning_content": "R"}
    for field, wanted in (("thinking", "R"), (None, None)):
        reasoning = ReasoningFormat("<think>", "</think>", field=field)
        made = prepare([USER, said], (), GENERIC, ALL, reasoning).messages[1]
        assert made.get("thinking") == wanted and "reasoning_content" not in made


def test_functions_as_text() -> None:
    made = prepare([USER], TOOLS, GENERIC, TemplateNeeds(functions=True))
    assert json.loads(made.arguments["functions"])[1]["function"]["name"] == "set_flag"
    assert set(made.arguments) == {"functions", "datetime"}


def test_an_empty_list_for_a_template_that_wants_one() -> None:
    assert prepare([USER], (), GENERIC, TemplateNeeds(always_tools=True)).tools == []


def test_simple_schemas_for_a_template_that_shows_no_others() -> None:
    tool = Tool(
        "f",
        "",
        {
            "type": "object",
            "properties": {
                "a": {"type": ["null", "integer"]},
                "b": {"anyOf": [{"type": "null"}, {"type": "number"}]},
                "c": {"enum": ["x"]},
                "d": {"type": "array", "items": {"type": ["string", "null"]}},
            },
        },
    )
    made = prepare([USER], [tool], GENERIC, TemplateNeeds(simple_schemas=True))
    assert made.tools is not None
    shown = made.tools[0]["function"]["parameters"]["properties"]
    assert [shown[key]["type"] for key in "abcd"] == ["integer", "number", "string", "array"]
    assert shown["d"]["items"]["type"] == "string"
    assert all("description" in value for value in shown.values())


def test_a_value_that_no_format_can_write() -> None:
    needs = replace(ALL, calls=False)
    bad = call("a", arguments=json.dumps({"flag": '<|"|>'}))
    from mlx_serving.calls.families import GEMMA_4

    with pytest.raises(Refused, match=r"messages\[1\]\.tool_calls: a string holds"):
        prepare([USER, asks(bad)], (), GEMMA_4, needs)
