"""openai for Python: chat and Responses, streams, tools, schemas, background, continuation."""

import json
from collections.abc import Callable
from typing import Any

import openai
from pydantic import BaseModel

from support.steps import colour, greeting, model, run_steps, same, url
from support.task import call_tool, chat_tools, do_task, response_tools, task_prompt

client = openai.OpenAI(base_url=f"{url}/v1", api_key="none")


class Colour(BaseModel):
    colour: str
    count: int


def user(content: str) -> list[Any]:
    return [{"role": "user", "content": content}]


def chat(content: str) -> object:
    answer = client.chat.completions.create(model=model, messages=user(content))
    return answer.choices[0].message.content


def chat_streamed(**body: Any) -> Any:
    with client.chat.completions.stream(model=model, **body) as stream:
        for _ in stream:
            pass
        return stream.get_final_completion()


def chat_whole(**body: Any) -> Any:
    return client.chat.completions.create(model=model, **body)


def chat_task(ask: Callable[..., Any]) -> object:
    messages = user(task_prompt)
    while True:
        message = ask(messages=messages, tools=chat_tools).choices[0].message
        if not message.tool_calls:
            return message.content
        messages.append(
            message.model_dump(exclude_none=True, include={"role", "content", "tool_calls"})
        )
        for call in message.tool_calls:
            result = call_tool(call.function.name, json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})


def response_streamed(**body: Any) -> Any:
    with client.responses.stream(model=model, **body) as stream:
        for _ in stream:
            pass
        return stream.get_final_response()


def response_whole(**body: Any) -> Any:
    return client.responses.create(model=model, **body)


def outputs(response: Any) -> list[Any]:
    return [
        {
            "type": "function_call_output",
            "call_id": call.call_id,
            "output": call_tool(call.name, json.loads(call.arguments)),
        }
        for call in response.output
        if call.type == "function_call"
    ]


def response_task(ask: Callable[..., Any]) -> object:
    messages = user(task_prompt)
    while True:
        response = ask(input=messages, tools=response_tools)
        results = outputs(response)
        if not results:
            return response.output_text
        messages += [one.model_dump(exclude_none=True) for one in response.output]
        messages += results


def continued_task() -> object:
    response = response_whole(input=user(task_prompt), tools=response_tools)
    while results := outputs(response):
        previous = response.id
        response = response_whole(
            input=results, tools=response_tools, previous_response_id=previous
        )
    return response.output_text


def chat_parse() -> object:
    answer = client.chat.completions.parse(
        model=model, messages=user("SCHEMA-1"), response_format=Colour
    )
    parsed = answer.choices[0].message.parsed
    return same(parsed and parsed.model_dump(), colour)


def response_parse() -> object:
    answer = client.responses.parse(model=model, input="SCHEMA-1", text_format=Colour)
    return same(answer.output_parsed and answer.output_parsed.model_dump(), colour)


def cancelled() -> object:
    response = response_whole(input="SLOW-1", background=True)
    return same(client.responses.cancel(response.id).status, "cancelled")


def deleted() -> object:
    response = response_whole(input="SAY-1")
    same(client.responses.retrieve(response.id).output_text, greeting)
    client.responses.delete(response.id)
    try:
        client.responses.retrieve(response.id)
    except openai.NotFoundError:
        return "gone"
    raise AssertionError("It is still there.")


run_steps(
    {
        "chat": lambda: same(chat("SAY-1"), greeting),
        "chat stream": lambda: same(
            chat_streamed(messages=user("SAY-1")).choices[0].message.content, greeting
        ),
        "chat tools": lambda: do_task(lambda: chat_task(chat_whole)),
        "chat tools stream": lambda: do_task(lambda: chat_task(chat_streamed)),
        "chat parse": chat_parse,
        "responses": lambda: same(response_whole(input="SAY-1").output_text, greeting),
        "responses stream": lambda: same(response_streamed(input="SAY-1").output_text, greeting),
        "responses tools": lambda: do_task(lambda: response_task(response_whole)),
        "responses tools stream": lambda: do_task(lambda: response_task(response_streamed)),
        "responses parse": response_parse,
        "continuation": lambda: do_task(continued_task),
        "background, cancel": cancelled,
        "retrieve, delete": deleted,
    }
)
