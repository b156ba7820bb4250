"""What a template takes of a conversation with calls, found by trying."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from .format import CallFormat
from .probes import (
    IDS,
    NAMES,
    RESULTS,
    RICH_TOOLS,
    TOOLS,
    USER,
    call,
    calling,
    extra_arguments,
    rendered,
    result,
    turn,
)
from .template import Message, Template

# As clients make them.
LONG_ID: Final = "call_0123456789abcdefghijklmn"
_ESCAPED_JSON: Final = '\\"word_q7'


@dataclass(frozen=True, slots=True)
class TemplateNeeds:
    """`tools`: it shows the tools that are offered. `calls`: it writes calls of the history;
    `parallel`: several of one turn. `results`: it writes messages of the role `tool`. `system`: it
    takes a system message. `arguments_as_text`: of a call, as JSON text and not as an object.
    `no_content`: of a message with calls alone, None and not an empty text. `short_ids`: it takes
    identifiers of nine letters and digits alone. `functions`: it wants the tools as a text of that
    name, and the date. `simple_schemas`: it can show a single type of each argument alone.
    `always_tools`: it wants a list of tools, if an empty one."""

    tools: bool = True
    calls: bool = True
    parallel: bool = True
    results: bool = True
    system: bool = True
    arguments_as_text: bool = False
    no_content: bool = False
    short_ids: bool = False
    functions: bool = False
    simple_schemas: bool = False
    always_tools: bool = False


def derive_needs(template: Template, format: CallFormat) -> TemplateNeeds:
    tools = _shows_tools(template)
    found = _way_of_calls(template)
    as_text, content = found or (False, "")
    two = turn(template, calling(2, as_text, content))
    parallel = found is not None and two is not None and all(name in two for name in NAMES)
    return TemplateNeeds(
        tools=tools,
        calls=found is not None,
        parallel=parallel,
        results=_shows_results(template, found),
        system=_takes_system(template),
        arguments_as_text=as_text,
        no_content=content is None,
        short_ids=found is not None and not _takes_long_ids(template, as_text, content),
        functions=bool(extra_arguments(template)),
        simple_schemas=tools and not _takes(template, RICH_TOOLS),
        always_tools=not _takes(template, None) and _takes(template, []),
    )


def _shows_tools(template: Template) -> bool:
    text = rendered(template, [USER], TOOLS, True)
    return text is not None and all(name in text for name in NAMES)


def _takes(template: Template, tools: list[dict[str, Any]] | None) -> bool:
    return template.try_render([USER], tools, extra_arguments(template), True) is not None


def _way_of_calls(template: Template) -> tuple[bool, str | None] | None:
    """Arguments as text or not, and the content of a message without any."""
    for as_text in (False, True):
        for content in ("", None):
            text = turn(template, calling(1, as_text, content))
            if text is None or NAMES[0] not in text or "Oslo XY" not in text:
                continue
            if _ESCAPED_JSON not in text:
                return as_text, content
    return None


def _shows_results(template: Template, way: tuple[bool, str | None] | None) -> bool:
    before: Message = {"role": "assistant", "content": "x"}
    if way is not None:
        before = calling(1, *way)
    text = turn(template, before, result(0))
    return text is not None and RESULTS[0] in text


def _takes_system(template: Template) -> bool:
    system = {"role": "system", "content": "System-q7x"}
    text = rendered(template, [system, USER], None, True)
    return text is not None and "System-q7x" in text


def _takes_long_ids(template: Template, as_text: bool, content: str | None) -> bool:
    made: dict[str, Any] = call(0, as_text)
    messages = [
        {"role": "assistant", "content": content, "tool_calls": [{**made, "id": LONG_ID}]},
        {**result(0), "tool_call_id": LONG_ID},
    ]
    return turn(template, *messages) is not None or turn(template, *_short(messages)) is None


def _short(messages: list[Message]) -> list[Message]:
    text = json.dumps(messages).replace(LONG_ID, IDS[0])
    short: list[Message] = json.loads(text)
    return short
