"""Anthropic's SDK for Python: messages, streamed and not, tools, thinking, schemas, counts."""

from collections.abc import Callable
from typing import Any

import anthropic
from pydantic import BaseModel

from support.steps import colour, greeting, model, run_steps, same, url
from support.task import call_tool, do_task, message_tools, task_prompt

client = anthropic.Anthropic(base_url=url, api_key="none")


class Colour(BaseModel):
    colour: str
    count: int


def user(content: str) -> list[Any]:
    return [{"role": "user", "content": content}]


def whole(**body: Any) -> Any:
    return client.messages.create(model=model, max_tokens=2048, **body)


def streamed(**body: Any) -> Any:
    with client.messages.stream(model=model, max_tokens=2048, **body) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    same(text_of(final), text)
    return final


def text_of(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def task(ask: Callable[..., Any]) -> object:
    messages = user(task_prompt)
    while True:
        answer = ask(messages=messages, tools=message_tools)
        calls = [block for block in answer.content if block.type == "tool_use"]
        same(answer.stop_reason, "tool_use" if calls else "end_turn")
        if not calls:
            return text_of(answer)
        results = [
            {
                "type": "tool_result",
                "tool_use_id": call.id,
                "content": call_tool(call.name, call.input),
            }
            for call in calls
        ]
        messages += [
            {"role": "assistant", "content": answer.content},
            {"role": "user", "content": results},
        ]


def thinking() -> object:
    asked: Any = {"type": "enabled", "budget_tokens": 1024}
    answer = streamed(messages=user("THINK-1"), thinking=asked)
    return same([block.type for block in answer.content], ["thinking", "text"])


def parsed() -> object:
    answer = client.messages.parse(
        model=model, max_tokens=2048, messages=user("SCHEMA-1"), output_format=Colour
    )
    return same(answer.parsed_output and answer.parsed_output.model_dump(), colour)


def counted() -> object:
    count = client.messages.count_tokens(model=model, messages=user("SAY-1"))
    return same(count.input_tokens > 0, True)


run_steps(
    {
        "messages": lambda: same(text_of(whole(messages=user("SAY-1"))), greeting),
        "stream": lambda: same(text_of(streamed(messages=user("SAY-1"))), greeting),
        "tools": lambda: do_task(lambda: task(whole)),
        "tools stream": lambda: do_task(lambda: task(streamed)),
        "thinking": thinking,
        "parse": parsed,
        "count tokens": counted,
    }
)
