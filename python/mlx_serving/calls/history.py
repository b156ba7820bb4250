"""A client's messages and tools as the template takes them.

What the template has no place for is put where it has one: calls into the content, in the model's
own format; results and the offer of tools into the text of a user or of the system.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from ..failures import Refused
from .definitions import simple_definition, tool_definition
from .format import CUSTOM_INPUT, CallFormat, ReasoningFormat, Tool
from .needs import TemplateNeeds
from .rendering import Unwritable, render_call, render_calls, short_id
from .template import Message

SHORT_ID_CHARACTERS: Final = 9
OFFER: Final = """# Tools

You can call these functions. Each is given with the JSON schema of its arguments:
<tools>
{tools}
</tools>

To call one, answer with its name and arguments in exactly this form, one block for each call:
{example}"""


class Prepared(NamedTuple):
    """What a template is rendered with. `tools`: None where it is handed none."""

    messages: list[Message]
    tools: list[dict[str, Any]] | None
    arguments: dict[str, Any]


def prepare(
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Tool],
    format: CallFormat,
    needs: TemplateNeeds,
    reasoning: ReasoningFormat | None = None,
) -> Prepared:
    """Messages as OpenAI's chat has them, with text as content. Raises `Refused`."""
    made = [_with_objects(index, message) for index, message in enumerate(messages)]
    _name_results(made)
    made = _in_order_of_calls(made)
    made = [_with_reasoning(message, reasoning) for message in made]
    if not needs.calls:
        made = [_calls_as_content(index, message, format) for index, message in enumerate(made)]
    elif not needs.parallel:
        made = _one_call_a_turn(made)
    if not needs.results:
        made = _results_as_user(made)
    if needs.short_ids:
        _shorten_ids(made)
    made = [_as_taken(message, needs) for message in made]
    define = simple_definition if needs.simple_schemas else dict
    offered = [define(tool_definition(tool)) for tool in tools]
    if offered and not needs.tools:
        made = _with_system_text(made, offer(tools, format), needs.system)
        return Prepared(made, None, {})
    extra = _functions(offered) if needs.functions else {}
    return Prepared(made, offered or ([] if needs.always_tools else None), extra)


def offer(tools: Sequence[Tool], format: CallFormat) -> str:
    """The system text for a model whose template shows no tools."""
    lines = [json.dumps(tool_definition(tool)["function"], ensure_ascii=False) for tool in tools]
    example = format.open + render_call(format, "NAME", {"ARGUMENT": "VALUE"}) + format.close
    return OFFER.format(tools="\n".join(lines), example=example)


def _functions(offered: list[dict[str, Any]]) -> dict[str, Any]:
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    return {"functions": json.dumps(offered, indent=4, ensure_ascii=False), "datetime": today}


# --- calls ---


def _with_objects(index: int, message: Mapping[str, Any]) -> Message:
    """Arguments of calls as objects, whatever the client has sent them as."""
    made = {**message, "content": _text_of(message.get("content"))}
    calls = made.pop("tool_calls", None)
    if not calls:
        return made
    place = f"messages[{index}].tool_calls"
    made["tool_calls"] = [_with_object(f"{place}[{i}]", call) for i, call in enumerate(calls)]
    return made


def _with_object(place: str, call: Mapping[str, Any]) -> dict[str, Any]:
    function = call.get("function")
    if call.get("type") == "custom" and isinstance(call.get("custom"), Mapping):
        custom = call["custom"]
        function = {"name": custom.get("name"), "arguments": {CUSTOM_INPUT: custom.get("input")}}
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise _refused(place, "must name a function")
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments or "{}")
        except (ValueError, RecursionError):
            raise _refused(f"{place}.function.arguments", "must be JSON") from None
    if not isinstance(arguments or {}, Mapping):
        raise _refused(f"{place}.function.arguments", "must be a JSON object")
    named = {"name": function["name"], "arguments": dict(arguments or {})}
    return {"id": str(call.get("id") or ""), "type": "function", "function": named}


def _text_of(content: Any) -> Any:
    """Parts that are all text as one; what is something else stays, for others to refuse."""
    if not isinstance(content, list):
        return content
    texts = [part.get("text") if isinstance(part, Mapping) else None for part in content]
    return content if None in texts else "".join(map(str, texts))


def _name_results(messages: list[Message]) -> None:
    """Results carry the name of the tool: some templates write it."""
    names: dict[str, str] = {}
    for message in messages:
        for call in message.get("tool_calls") or []:
            names[call["id"]] = call["function"]["name"]
        if message.get("role") == "tool" and not message.get("name"):
            name = names.get(str(message.get("tool_call_id")))
            if name is not None:
                message["name"] = name


def _in_order_of_calls(messages: list[Message]) -> list[Message]:
    """Results as their calls are ordered: most templates leave it to the order which is whose."""
    made: list[Message] = []
    places: dict[str, int] = {}
    results: list[Message] = []
    for message in messages:
        if message.get("role") == "tool":
            results.append(message)
            continue
        made += _sorted(results, places)
        results = []
        calls = message.get("tool_calls") or []
        places = {call["id"]: index for index, call in enumerate(calls)}
        made.append(message)
    return made + _sorted(results, places)


def _sorted(results: list[Message], places: Mapping[str, int]) -> list[Message]:
    """Those of no call come last, as they are."""
    return sorted(results, key=lambda m: places.get(str(m.get("tool_call_id")), len(places)))


def _calls_as_content(index: int, message: Message, format: CallFormat) -> Message:
    calls = message.get("tool_calls")
    if not calls:
        return message
    made = {key: value for key, value in message.items() if key != "tool_calls"}
    pairs = [(call["function"]["name"], call["function"]["arguments"]) for call in calls]
    try:
        text = render_calls(format, pairs)
    except Unwritable as error:
        raise _refused(f"messages[{index}].tool_calls", str(error)) from None
    content = message.get("content") or ""
    made["content"] = f"{content}\n{text}" if content else text
    return made


def _one_call_a_turn(messages: list[Message]) -> list[Message]:
    """Parallel calls one after another, each followed by its result."""
    made: list[Message] = []
    waiting: list[Message] = []
    for message in messages:
        calls = message.get("tool_calls") or []
        if message.get("role") == "tool" and waiting:
            found = next(
                (m for m in waiting if _id_of(m) == message.get("tool_call_id")), waiting[0]
            )
            waiting.remove(found)
            made += [found, message]
            continue
        made += waiting
        waiting = []
        if len(calls) < 2:
            made.append(message)
            continue
        first = {**message, "tool_calls": calls[:1]}
        rest = [{"role": "assistant", "content": "", "tool_calls": [call]} for call in calls[1:]]
        waiting = [first, *rest]
    return made + waiting


def _id_of(message: Message) -> str:
    return str(message["tool_calls"][0]["id"])


def _shorten_ids(messages: list[Message]) -> None:
    for message in messages:
        for call in message.get("tool_calls") or []:
            call["id"] = _short(call["id"])
        if message.get("role") == "tool":
            message["tool_call_id"] = _short(str(message.get("tool_call_id") or ""))


def _short(id: str) -> str:
    fits = len(id) == SHORT_ID_CHARACTERS and id.isalnum() and id.isascii()
    return id if fits else short_id(id)


# --- messages ---


def _with_reasoning(message: Message, reasoning: ReasoningFormat | None) -> Message:
    """In the field that the template reads; none where it reads none."""
    thought = message.get("reasoning_content")
    if message.get("role") != "assistant" or "reasoning_content" not in message:
        return message
    made = {key: value for key, value in message.items() if key != "reasoning_content"}
    if thought and reasoning is not None and reasoning.field is not None:
        made[reasoning.field] = thought
    return made


def _results_as_user(messages: list[Message]) -> list[Message]:
    """Results of one turn in one message, with what the user says after them: templates without
    tools want users and assistants to take turns."""
    made: list[Message] = []
    from_results = False
    for message in messages:
        is_result = message.get("role") in ("tool", "function")
        if is_result:
            text = f"<tool_response>\n{message.get('content') or ''}\n</tool_response>"
            message = {"role": "user", "content": text}
        if from_results and message.get("role") == "user":
            made[-1]["content"] += f"\n{message.get('content') or ''}"
        else:
            made.append(message)
        from_results = is_result or (from_results and message.get("role") == "user")
    return made


def _as_taken(message: Message, needs: TemplateNeeds) -> Message:
    calls = message.get("tool_calls")
    if not calls:
        return message
    made = dict(message)
    if not made.get("content"):
        made["content"] = None if needs.no_content else ""
    if needs.arguments_as_text:
        made["tool_calls"] = [
            {**call, "function": {**call["function"], "arguments": _text(call)}} for call in calls
        ]
    return made


def _text(call: Mapping[str, Any]) -> str:
    return json.dumps(call["function"]["arguments"], ensure_ascii=False)


def _with_system_text(messages: list[Message], text: str, takes_system: bool) -> list[Message]:
    first = messages[0] if messages else {"role": "user", "content": ""}
    rest = messages[1:]
    if first.get("role") in ("system", "developer"):
        return [{**first, "content": f"{first.get('content') or ''}\n\n{text}"}, *rest]
    if takes_system:
        return [{"role": "system", "content": text}, *messages]
    return [{**first, "content": f"{text}\n\n{first.get('content') or ''}"}, *rest]


def _refused(place: str, what: str) -> Refused:
    return Refused("invalid_prompt", "messages", f"{place}: {what}")
