"""What a turn is kept to, by what its request asks for; and what is to blame where it can't be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from mlx_serving.calls.families import GENERIC, HARMONY
from mlx_serving.calls.format import JSON_TYPES, CallFormat, ReasoningFormat, Tagged
from mlx_serving.failures import Refused
from mlx_serving.fake.text import FakeTextModel
from mlx_serving.grammar.grammars import Grammars
from mlx_serving.grammar.matcher import Matcher
from mlx_serving.grammar.vocabulary import of_pieces
from mlx_serving.messages import (
    Admission,
    Constraint,
    NamedTool,
    ReasoningRequest,
    Sampling,
    Tool,
    ToolChoice,
    ToolOffer,
)
from mlx_serving.text.turn_formats import TurnFormat
from mlx_serving.text.turn_grammar import TurnGrammar, turn_grammar
from mlx_serving.text.turn_text import turn_text
from mlx_serving.tools import callable_tools

END = 256
PIECES = [*(bytes((byte,)) for byte in range(END)), b""]
THINK = ReasoningFormat("<think>", "</think>")
CODER = CallFormat(
    family="tagged arguments",
    style=Tagged(
        "<parameter=",
        dict.fromkeys(JSON_TYPES, ">"),
        dict.fromkeys(JSON_TYPES, "</parameter>"),
    ),
    before="<tool_call><function=",
    between=">",
    after="</function></tool_call>",
    begin="<tool_call>",
)
JSON = Constraint(
    "json", '{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]}'
)
FIELDS: dict[str, Any] = {"city": {"type": "string", "maxLength": 9}, "days": {"type": "integer"}}


def tool(name: str, **schema: Any) -> Tool:
    whole = {"type": "object", "properties": FIELDS, "required": ["city"], **schema}
    return Tool(name, "", {**whole, "additionalProperties": False})


LOOK = tool("look")
SEND = tool("send")


class Model(FakeTextModel):
    """Tokens of one byte, a format, and reasoning."""

    def __init__(self, calls: CallFormat = GENERIC, thinks: bool = False) -> None:
        super().__init__()
        self.calls = calls
        self.reasoning = THINK if thinks else None

    def turn_format(self, request: Admission) -> TurnFormat | None:
        wanted = bool(callable_tools(request.tools)) or self.calls.channels is not None
        if not wanted and self.reasoning is None:
            return None
        return TurnFormat(self.calls if wanted else None, self.reasoning, {})


def request(
    tools: Sequence[Tool] = (),
    choice: ToolChoice = "auto",
    parallel: bool = True,
    prompt: str = "user: hi",
    **fields: Any,
) -> Admission:
    offer = ToolOffer(tuple(tools), choice, parallel) if tools else None
    tokens = list(prompt.encode())
    return Admission(1, tokens, [], 99, Sampling(), tools=offer, **fields)


def start(model: Model, asked: Admission) -> Matcher:
    wish = turn_grammar(model, asked)
    assert wish is not None
    grammars = Grammars(lambda: of_pieces(PIECES, END), len(PIECES))
    return grammars.matcher(wish)


def takes(model: Model, asked: Admission, text: str, cut: bool = False) -> bool:
    """Whether it may be said as a whole, or (`cut`) as a beginning."""
    matcher = start(model, asked)
    for token in text.encode():
        mask = matcher.mask()
        if matcher.error is not None or matcher.done:
            return False
        if mask is not None and not mask[token >> 3] >> (token & 7) & 1:
            return False
        matcher.accept([token])
    mask = matcher.mask()
    may_end = mask is None or bool(mask[END >> 3] >> (END & 7) & 1)
    return matcher.error is None and (cut or matcher.done or may_end)


def call(name: str, arguments: str = '{"city": "Oslo"}') -> str:
    return f'<tool_call>\n{{"name": "{name}", "arguments": {arguments}}}\n</tool_call>'


def test_nothing_is_kept_to_where_nothing_is_asked_for() -> None:
    model = Model()
    assert turn_grammar(model, request()) is None
    assert turn_grammar(model, request([LOOK], "none")) is None
    assert turn_grammar(Model(thinks=True), request()) is None
    # What a script says is played as it is.
    assert turn_grammar(model, request([LOOK], "required", fake_say="Hm.")) is None


def test_a_constraint_alone_is_one_wherever_it_comes_from() -> None:
    assert turn_grammar(Model(), request(constraint=JSON)) is JSON
    assert turn_grammar(Model(thinks=True), request(constraint=JSON, chat=False)) is JSON
    off = request(constraint=JSON, reasoning=ReasoningRequest(enabled=False))
    assert turn_grammar(Model(thinks=True), off) is JSON
    closed = request(constraint=JSON, prompt="assistant: <think>\n\n</think>\n\n")
    assert turn_grammar(Model(thinks=True), closed) is JSON


def test_it_waits_until_thinking_has_ended() -> None:
    model = Model(thinks=True)
    may = request(constraint=JSON)
    for text in ('{"a": 1}', '<think>{"b"} or so</think>\n\n{"a": 1}'):
        assert takes(model, may, text)
    for text in ("Hm", '{"b": 1}', '<think>x</think>{"b"', "<think>x</think> Well"):
        assert not takes(model, may, text, cut=True)
    opened = request(constraint=JSON, prompt="assistant: <think>\n")
    assert takes(model, opened, 'free {"b"}</think>\n{"a": 1}')
    assert not takes(model, opened, 'free</think>\n{"b"', cut=True)
    assert not takes(model, opened, "free")


@pytest.mark.parametrize("thinks", [False, True])
def test_a_forced_call(thinks: bool) -> None:
    model = Model(thinks=thinks)
    tools = [LOOK, SEND]
    required = request(tools, "required")
    assert takes(model, required, call("look")) and takes(model, required, call("send"))
    assert takes(model, required, f"{call('look')}\n{call('send')}")
    for text in ("Well", call("nothing"), call("look", '{"days": 1}'), call("look", '{"city": 1}')):
        assert not takes(model, required, text, cut=True)
    assert takes(model, required, f"<think>so</think>\n{call('look')}") is thinks
    one = request(tools, "required", parallel=False)
    assert start(model, one).done is False
    assert not takes(model, one, f"{call('look')}\n{call('send')}", cut=True)
    named = request(tools, NamedTool("send"))
    assert takes(model, named, call("send")) and not takes(model, named, call("look"), cut=True)
    assert not takes(model, named, f"{call('send')}\n{call('send')}", cut=True)


def test_one_call_that_is_complete_ends_the_turn() -> None:
    model, asked = Model(), request([LOOK], "required", parallel=False)
    matcher = start(model, asked)
    matcher.accept(list(call("look").encode()))
    assert matcher.done and matcher.error is None


@pytest.mark.parametrize("thinks", [False, True])
def test_in_auto_a_text_is_free_and_a_call_is_kept_to_its_schema(thinks: bool) -> None:
    model, asked = Model(thinks=thinks), request([LOOK, SEND])
    for text in ("Well.", "<tool", "1 < 2 <tool_calls>", call("look"), f"Yes.\n{call('send')}"):
        assert takes(model, asked, text), text
    for text in (call("nothing"), f"Yes.\n{call('look', '{}')}", "a <tool_call> b"):
        assert not takes(model, asked, text, cut=True), text
    if thinks:
        assert takes(model, asked, f"<think>a <tool_call> b</think>{call('look')}")
        assert takes(model, asked, "<think>a <tool_call> b</think>Well.")


def test_either_a_call_or_the_constraint() -> None:
    for thinks in (False, True):
        model, asked = Model(thinks=thinks), request([LOOK], constraint=JSON)
        assert takes(model, asked, '{"a": 1}') and takes(model, asked, call("look"))
        for text in ("Well", '{"b"', call("look", '{"days": 1}'), f'{{"a": 1}}{call("look")}'):
            assert not takes(model, asked, text, cut=True)
    forced = request([LOOK], "required", constraint=JSON)
    assert not takes(Model(), forced, '{"a": 1}', cut=True) and takes(Model(), forced, call("look"))


def test_messages_with_headers() -> None:
    model, asked = Model(HARMONY), request(constraint=JSON)
    final = "<|channel|>final<|message|>"
    thought = "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant"
    assert takes(model, asked, f'{final}{{"a": 1}}')
    assert takes(model, asked, f'{thought}{final}{{"a": 1}}')
    assert not takes(model, asked, f"{final}Hm", cut=True)


def test_the_text_of_a_constraint_is_content_whatever_it_looks_like() -> None:
    model = Model(thinks=True)
    asked = request([LOOK], constraint=Constraint("regex", "(?s:.*)"))
    turn = model.turn_format(asked)
    assert turn is not None
    for said in ('{"a": "<tool_call> <think>"}', " <b>"):
        text = turn_text(model, turn, asked, frozenset())
        pieces = [text.push(token) for token in said.encode()]
        assert "".join(piece for piece in pieces if isinstance(piece, str)) == said
        assert not any(isinstance(piece, list) for piece in pieces)
        assert text.finished("stop") == "stop"


def test_equal_requests_share_a_grammar_and_others_do_not() -> None:
    model = Model()
    first = turn_grammar(model, request([LOOK], "required"))
    again = turn_grammar(model, request([replace(LOOK, description="Other words")], "required"))
    assert first == again and hash(first) == hash(again)
    for other in (
        request([SEND], "required"),
        request([LOOK, SEND], "required"),
        request([LOOK]),
        request([LOOK], NamedTool("look")),
        request([LOOK], "required", parallel=False),
        request([tool("look", required=[])], "required"),
        request([LOOK], constraint=JSON),
    ):
        assert turn_grammar(model, other) != first


def test_a_tool_is_blamed_with_the_place() -> None:
    model = Model(CODER)
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": "(?=x)"}}}
    with pytest.raises(Refused) as refused:
        start(model, request([LOOK, Tool("a/b", "", schema)], "required"))
    assert refused.value.field == "tools/a~1b/properties/a/pattern"
    assert str(refused.value).startswith("tools/a~1b/properties/a/pattern ")
    with pytest.raises(Refused):
        start(model, request([Tool("a", "", {**schema, "anyOf": [{}]})]))


def test_a_loose_tool_is_kept_to_what_its_format_can() -> None:
    model = Model(CODER)
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string", "pattern": "(?=x)"}, "n": {"type": "integer"}},
        "anyOf": [{}],
        "required": ["n", "more"],
    }
    asked = request([Tool("f", "", schema, loose=True)])
    begin = "<tool_call><function=f>"
    given = "<parameter=a>y</parameter><parameter=n>1</parameter></function></tool_call>"
    assert takes(model, asked, begin + given)
    assert not takes(model, asked, f"{begin}<parameter=n>x", cut=True)
    assert not takes(model, asked, f"{begin}</function>", cut=True)


def test_the_tool_that_does_not_compile_is_found_among_others() -> None:
    bad = tool("bad", properties={"a": {"allOf": [{"type": "string"}, {"type": "integer"}]}})
    bad = replace(bad, parameters={**bad.parameters, "required": ["a"]})
    tools = [tool(f"tool_{i}") for i in range(5)]
    with pytest.raises(Refused) as refused:
        start(Model(), request([*tools[:3], bad, *tools[3:]], "required"))
    assert refused.value.field == "tools/bad"
    contradiction = Constraint("json", '{"allOf":[{"type":"string"},{"type":"integer"}]}')
    with pytest.raises(Refused) as refused:
        start(Model(), request(tools, constraint=contradiction))
    assert refused.value.field == "constraint"


def test_who_forces_nothing_can_do_without() -> None:
    def optional(asked: Admission) -> bool:
        wish = turn_grammar(Model(), asked)
        assert isinstance(wish, TurnGrammar)
        return wish.is_optional

    assert optional(request([LOOK]))
    assert not optional(request([LOOK], "required"))
    assert not optional(request([LOOK], NamedTool("look")))
    assert not optional(request([LOOK], constraint=JSON))
