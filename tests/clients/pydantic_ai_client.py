"""Pydantic AI, over OpenAI's two APIs and Anthropic's: tools, streams, typed outputs."""

import asyncio
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

from support.steps import colour, greeting, model, run_steps, same, url
from support.task import do_task, functions, task_prompt


class Colour(BaseModel):
    colour: str
    count: int


def openai() -> OpenAIProvider:
    return OpenAIProvider(base_url=f"{url}/v1", api_key="none")


models: dict[str, Callable[[], Any]] = {
    "chat": lambda: OpenAIChatModel(model, provider=openai()),
    "responses": lambda: OpenAIResponsesModel(model, provider=openai()),
    "messages": lambda: AnthropicModel(
        model, provider=AnthropicProvider(base_url=url, api_key="none")
    ),
}


def steps_of(api: str, of: Callable[[], Any]) -> dict[str, Callable[[], object]]:
    def agent(**options: Any) -> Any:
        return Agent(of(), retries=0, **options)

    def working() -> Any:
        return agent(tools=list(functions.values()))

    def whole(made: Any, prompt: str) -> Any:
        return made.run_sync(prompt).output

    async def streaming(made: Any, prompt: str) -> object:
        async with made.run_stream(prompt) as result:
            return await result.get_output()

    def streamed(made: Any, prompt: str) -> object:
        return asyncio.run(streaming(made, prompt))

    def schema() -> object:
        output = whole(agent(output_type=NativeOutput(Colour)), "SCHEMA-1")
        return same(output.model_dump(), colour)

    def call() -> object:
        return same(whole(agent(output_type=Colour), "CALL-final_result-1").model_dump(), colour)

    async def all_of(made: Any, prompt: str) -> object:
        async with made.iter(prompt) as run:
            async for node in run:
                if Agent.is_model_request_node(node):
                    async with node.stream(run.ctx) as events:
                        async for _ in events:
                            pass
            return run.result.output

    steps: dict[str, Callable[[], object]] = {
        api: lambda: same(whole(agent(), "SAY-1"), greeting),
        f"{api} stream": lambda: same(streamed(agent(), "SAY-1"), greeting),
        f"{api} tools": lambda: do_task(lambda: whole(working(), task_prompt)),
        f"{api} tools stream": lambda: do_task(lambda: asyncio.run(all_of(working(), task_prompt))),
        f"{api} output by a call": call,
    }
    # By a table of Anthropic's models, which has none of ours.
    return steps if api == "messages" else {**steps, f"{api} native output": schema}


run_steps({step: work for api, of in models.items() for step, work in steps_of(api, of).items()})
