"""Instructor, by OpenAI's client and by Anthropic's: models by calls, by schemas, in parts."""

from typing import Any

import anthropic
import instructor
import openai
from pydantic import BaseModel

from support.steps import colour, model, run_steps, same, url


class Colour(BaseModel):
    colour: str
    count: int


def user(content: str) -> list[Any]:
    return [{"role": "user", "content": content}]


def by_openai(mode: instructor.Mode) -> Any:
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none")
    return instructor.from_openai(client, mode=mode)


def by_anthropic() -> Any:
    return instructor.from_anthropic(anthropic.Anthropic(base_url=url, api_key="none"))


def made(client: Any, prompt: str, **more: Any) -> object:
    answer = client.chat.completions.create(
        model=model, messages=user(prompt), response_model=Colour, max_retries=0, **more
    )
    return same(answer.model_dump(), colour)


def in_parts(client: Any, prompt: str) -> object:
    parts = client.chat.completions.create_partial(
        model=model, messages=user(prompt), response_model=Colour, max_retries=0
    )
    *_, last = parts
    return same(last.model_dump(), colour)


run_steps(
    {
        "chat, by a call": lambda: made(by_openai(instructor.Mode.TOOLS), "CALL-Colour-1"),
        "chat, by a call, stream": lambda: in_parts(
            by_openai(instructor.Mode.TOOLS), "CALL-Colour-1"
        ),
        "chat, by a schema": lambda: made(by_openai(instructor.Mode.JSON_SCHEMA), "SCHEMA-1"),
        "messages, by a call": lambda: made(by_anthropic(), "CALL-Colour-1", max_tokens=2048),
    }
)
