"""LiteLLM, by OpenAI's chat and by Anthropic's messages: texts, streams, tools, schemas."""

import json
from collections.abc import Callable
from typing import Any

import litellm
from pydantic import BaseModel

from support.steps import colour, greeting, model, run_steps, same, url
from support.task import call_tool, chat_tools, do_task, task_prompt

apis = {
    "chat": {"model": f"openai/{model}", "api_base": f"{url}/v1", "api_key": "none"},
    "messages": {"model": f"anthropic/{model}", "api_base": url, "api_key": "none"},
}


class Colour(BaseModel):
    colour: str
    count: int


def user(content: str) -> list[Any]:
    return [{"role": "user", "content": content}]


def steps_of(api: str, where: dict[str, str]) -> dict[str, Callable[[], object]]:
    def whole(**body: Any) -> Any:
        return litellm.completion(**where, max_tokens=2048, **body)

    def streamed(**body: Any) -> Any:
        chunks = list(whole(stream=True, **body))
        return litellm.stream_chunk_builder(chunks, messages=body["messages"])

    def text(answer: Any) -> object:
        return answer.choices[0].message.content

    def task(ask: Callable[..., Any]) -> object:
        messages = user(task_prompt)
        while True:
            message = ask(messages=messages, tools=chat_tools).choices[0].message
            if not message.tool_calls:
                return message.content
            messages.append(message.model_dump(exclude_none=True))
            for call in message.tool_calls:
                result = call_tool(call.function.name, json.loads(call.function.arguments))
                messages.append({"role": "tool", "tool_call_id": call.id, "content": result})

    def schema() -> object:
        answer = whole(messages=user("SCHEMA-1"), response_format=Colour)
        return same(json.loads(str(text(answer))), colour)

    steps: dict[str, Callable[[], object]] = {
        api: lambda: same(text(whole(messages=user("SAY-1"))), greeting),
        f"{api} stream": lambda: same(text(streamed(messages=user("SAY-1"))), greeting),
        f"{api} tools": lambda: do_task(lambda: task(whole)),
        f"{api} tools stream": lambda: do_task(lambda: task(streamed)),
    }
    # For Anthropic it makes a schema a tool, by a table of models that has none of ours.
    return steps if api == "messages" else {**steps, f"{api} schema": schema}


run_steps({step: work for api, of in apis.items() for step, work in steps_of(api, of).items()})
