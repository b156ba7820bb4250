"""From text to events: nothing of a call in the content, nothing of the content lost."""

from __future__ import annotations

import json

import pytest
from formats.read import Read, gathered, read_pieces
from hypothesis import given
from hypothesis import strategies as st
from mlx_serving.calls.events import CallArguments, CallBegin, CallEnd, Content, Reasoning
from mlx_serving.calls.format import CallFormat, ReasoningFormat
from mlx_serving.calls.parser import output_parser
from mlx_serving.calls.rendering import render_calls

from .support import ALL, BARE, CALLS, CODER, HERMES, LISTED, MISTRAL, THINK, TOOLS, cuts


def read(
    text: str,
    format: CallFormat | None = HERMES,
    reasoning: ReasoningFormat | None = None,
    opened: bool = False,
) -> Read:
    """The same for every cut."""
    first, *others = [read_pieces(p, format, reasoning, opened, TOOLS) for p in cuts(text)]
    assert all(other == first for other in others)
    return first


@pytest.mark.parametrize("name", ALL)
def test_calls_come_back(name: str) -> None:
    for calls in ([], CALLS[:1], CALLS, CALLS * 2):
        text = render_calls(ALL[name], calls) if calls else ""
        found = read(f"Before.\n\n{text}", ALL[name])
        assert found.calls == calls and found.content.rstrip() == "Before."


def test_events_come_as_the_text_is_made() -> None:
    parser = output_parser(HERMES, THINK, True, TOOLS)
    assert parser.in_reasoning
    assert parser.push("Hm") == [Reasoning("Hm")]
    assert parser.push("</think>\n\nOk") == [Content("Ok")]
    assert not parser.in_reasoning and not parser.in_call
    assert parser.push(' <tool_call>\n{"name": "get_wea') == []
    assert parser.in_call and parser.held_characters == len('<tool_call>\n{"name": "get_wea')
    assert parser.push('ther", "arguments": {"city": "Os') == [
        CallBegin(0, "get_weather"),
        CallArguments(0, '{"city": "Os'),
    ]
    assert parser.push('lo"}') == [CallArguments(0, 'lo"}'), CallEnd(0, True)]
    assert parser.push("}\n</tool_call>") == []
    assert parser.finish() == []


def test_a_string_between_marks_is_told_as_it_is_made() -> None:
    parser = output_parser(CODER, None, False, TOOLS)
    parser.push("<tool_call>\n<function=get_weather>\n")
    assert parser.push("<parameter=city>\nOs") == [CallArguments(0, '"city": "Os')]
    # The line's end may be the mark's.
    assert parser.push("lo\n") == [CallArguments(0, "lo")]
    assert parser.push("B") == [CallArguments(0, "\\nB")]
    assert parser.push("\n</parameter>\n") == [CallArguments(0, '"')]


@pytest.mark.parametrize(
    "text",
    [
        "a < b and <tool",
        "<tool_call",
        "<tool_call> is how calls begin",
        '<tool_call>\n{"name": 7}',
        '<tool_call>{"arguments": {}}</tool_call>',
        "<tool_call>[1]</tool_call>",
        '{"name": "get_weather", "arguments": {}}',
        "</tool_call>",
        "<<tool_call>>",
        "text\n\n",
        "\n",
    ],
)
def test_a_false_alarm_is_content(text: str) -> None:
    assert read(text) == Read(content=text)


def test_a_call_after_a_false_alarm() -> None:
    found = read(f"<tool_call> so: {render_calls(HERMES, CALLS)}")
    assert found.content == "<tool_call> so:" and found.calls == CALLS


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>{"name":"set_flag","arguments":{"flag":true}}</tool_call>',
        '<tool_call>\n\n{ "arguments" : {"flag": true}, "name" : "set_flag" }\n</tool_call>',
        '<tool_call>{"id": 3, "name": "set_flag", "arguments": {"flag": true}, "x": [1]}',
        '<tool_call>{"name": "set_flag", "arguments": "{\\"flag\\": true}"}</tool_call>',
        '<tool_call>{"name": "set_flag", "arguments": {"flag": true}}',
        '<tool_call>{"name": "set_flag", "arguments": {"flag": true}',
    ],
)
def test_other_ways_to_write_a_call(text: str) -> None:
    assert read(text).calls == [("set_flag", {"flag": True})] and not read(text).content


def test_a_call_without_arguments() -> None:
    assert read('<tool_call>{"name": "set_flag"}</tool_call>').calls == [("set_flag", {})]


def test_a_call_without_its_first_mark() -> None:
    text = render_calls(CODER, CALLS).removeprefix("<tool_call>\n")
    found = read(f"Yes. {text}", CODER)
    assert (found.content, found.calls) == ("Yes.", CALLS)
    for other in ("<function=nothing>\n</function>", "Write <function=", "<function=get_weather"):
        assert read(other, CODER).content == other


def test_content_after_calls_stays() -> None:
    found = read(f"{render_calls(HERMES, CALLS)}\nDone.\n")
    assert found.calls == CALLS and found.content == "Done.\n"


def test_a_turn_that_ends_in_a_call() -> None:
    text = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Os'
    found = read(text)
    assert found.names == ["get_weather"] and found.ended == [False] and not found.content
    assert found.texts == ['{"city": "Os']


@pytest.mark.parametrize("name", ALL)
def test_a_call_that_was_cut_off_is_no_content(name: str) -> None:
    text = render_calls(ALL[name], CALLS[:1])
    for end in range(len(ALL[name].begin), text.index("get_weather") + 3):
        parser = output_parser(ALL[name], None, False, TOOLS)
        events = parser.push(f"Yes.{text[:end]}") + parser.finish(cut=True)
        assert events == [Content("Yes.")]


def test_what_is_no_json_stays_in_the_arguments() -> None:
    text = '<tool_call>{"name": "set_flag", "arguments": {flag: yes}}</tool_call>After'
    found = read(text)
    assert found.texts == ["{flag: yes}"] and found.content == "After"


def test_a_mark_inside_of_a_string_is_a_string() -> None:
    calls = [("get_weather", {"city": "</tool_call> <tool_call>\n"})]
    assert read(render_calls(HERMES, calls)).calls == calls


def test_a_list_of_calls_ends_with_its_mark() -> None:
    found = read(f"{render_calls(LISTED, CALLS)} And so on.", LISTED)
    assert found.calls == CALLS and found.content == "And so on."


class TestBareJson:
    """Llama's calls have no mark."""

    def test_a_turn_that_begins_like_a_call(self) -> None:
        assert read(render_calls(BARE, CALLS[:1]), BARE).calls == CALLS[:1]
        assert read(f"<|python_tag|>{render_calls(BARE, CALLS[:1])}", BARE).calls == CALLS[:1]

    @pytest.mark.parametrize(
        "text",
        [
            '{"name": "Bob", "parameters": {"age": 7}}',
            '{"answer": {"name": "get_weather"}}',
            '{"name": "get_weather"',
            'It is {"name": "get_weather", "parameters": {}}',
            "{}",
            "  {",
        ],
    )
    def test_other_json_is_content(self, text: str) -> None:
        assert read(text, BARE).content.strip() == text.strip()

    def test_after_reasoning(self) -> None:
        found = read(f"<think>\nHm\n</think>\n\n{render_calls(BARE, CALLS[:1])}", BARE, THINK)
        assert found.calls == CALLS[:1] and found.reasoning == "Hm"


class TestReasoning:
    def test_spaces_around_it_are_no_text(self) -> None:
        assert read("<think>\n\nA\n\nB\n</think>\n\n\nC\n", None, THINK) == Read("C\n", "A\n\nB")

    def test_one_that_the_prompt_has_opened(self) -> None:
        for text in ("\nA</think>B", "<think>A</think>B", "A\n</think>\n\nB"):
            assert read(text, HERMES, THINK, True) == Read("B", "A")

    def test_an_empty_one(self) -> None:
        assert read("<think>\n\n</think>\n\nB", HERMES, THINK) == Read("B", "")

    def test_a_mark_inside_of_it_is_text(self) -> None:
        found = read("A <think> <tool_call> B</think>C", HERMES, THINK, True)
        assert found == Read("C", "A <think> <tool_call> B")

    def test_a_call_may_end_it(self) -> None:
        text = f"A\n{render_calls(MISTRAL, CALLS)}"
        for pieces in cuts(text):
            parser = output_parser(MISTRAL, THINK, True, TOOLS, call_ends_reasoning=True)
            found = gathered([e for piece in pieces for e in parser.push(piece)] + parser.finish())
            assert (found.reasoning, found.content, found.calls) == ("A", "", CALLS)
        assert read(text, MISTRAL, THINK, True).reasoning == text

    def test_it_may_come_back(self) -> None:
        found = read(
            f"A<think>B</think>C<think>D</think>{render_calls(HERMES, CALLS)}", HERMES, THINK
        )
        assert (found.content, found.reasoning, found.calls) == ("AC", "BD", CALLS)

    def test_a_turn_that_ends_in_it(self) -> None:
        assert read("<think>A </thin", HERMES, THINK) == Read("", "A </thin")

    def test_none_where_none_is_known(self) -> None:
        assert read("<think>A</think>B", HERMES).content == "<think>A</think>B"


def test_without_tools_calls_are_content() -> None:
    text = render_calls(HERMES, CALLS)
    assert read(text, None) == Read(text)


@pytest.mark.parametrize("name", [*ALL, "bare"])
@given(data=st.data())
def test_cuts_change_nothing(name: str, data: st.DataObject) -> None:
    """Of whatever a model may write: what was told so far is never taken back."""
    format = {**ALL, "bare": BARE}[name]
    whole = [render_calls(format, CALLS[:n]) for n in (1, 2)]
    bits = [
        *format.marks,
        "<think>",
        "</think>",
        "\n",
        " ",
        "{",
        "}",
        '"',
        "\\",
        "a",
        ",",
        ":",
        "<",
    ]
    part = st.one_of(
        st.sampled_from(bits),
        st.sampled_from(whole),
        st.sampled_from(whole).flatmap(
            lambda text: st.integers(0, len(text)).map(lambda at: text[at:])
        ),
        st.sampled_from(whole).flatmap(
            lambda text: st.integers(0, len(text)).map(lambda at: text[:at])
        ),
    )
    text = "".join(data.draw(st.lists(part, max_size=5)))
    opened = data.draw(st.booleans())
    expected = read_pieces([text], format, THINK, opened, TOOLS)
    assert read_pieces(list(text), format, THINK, opened, TOOLS) == expected
    at = data.draw(st.integers(0, len(text)))
    assert read_pieces([text[:at], text[at:]], format, THINK, opened, TOOLS) == expected


def test_arguments_are_json_as_it_is_made() -> None:
    text = render_calls(MISTRAL, CALLS)
    assert [json.loads(arguments) for arguments in read(text, MISTRAL).texts] == [
        arguments for _, arguments in CALLS
    ]
