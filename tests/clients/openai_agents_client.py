"""OpenAI's Agents SDK for Python, over Responses and chat: tools, streams, typed outputs."""

import asyncio
from collections.abc import Callable

from agents import Agent, OpenAIProvider, RunConfig, Runner, function_tool
from pydantic import BaseModel

from support.steps import colour, greeting, model, run_steps, same, url
from support.task import do_task, functions, task_prompt


class Colour(BaseModel):
    colour: str
    count: int


tools = [function_tool(function) for function in functions.values()]
plain = Agent(name="plain", instructions="Answer.", model=model)
worker = Agent(name="worker", instructions="Work.", model=model, tools=list(tools))
typed = Agent(name="typed", instructions="Answer.", model=model, output_type=Colour)


def steps_of(api: str, use_responses: bool) -> dict[str, Callable[[], object]]:
    def config() -> RunConfig:
        provider = OpenAIProvider(base_url=f"{url}/v1", api_key="none", use_responses=use_responses)
        return RunConfig(model_provider=provider, tracing_disabled=True)

    async def whole(agent: Agent, said: str) -> object:
        return (await Runner.run(agent, said, run_config=config())).final_output

    async def streamed(agent: Agent, said: str) -> object:
        result = Runner.run_streamed(agent, said, run_config=config())
        async for _ in result.stream_events():
            pass
        return result.final_output

    def typed_output() -> object:
        output = asyncio.run(whole(typed, "SCHEMA-1"))
        assert isinstance(output, Colour)
        return same(output.model_dump(), colour)

    return {
        api: lambda: same(asyncio.run(whole(plain, "SAY-1")), greeting),
        f"{api} stream": lambda: same(asyncio.run(streamed(plain, "SAY-1")), greeting),
        f"{api} tools": lambda: do_task(lambda: asyncio.run(whole(worker, task_prompt))),
        f"{api} tools stream": lambda: do_task(lambda: asyncio.run(streamed(worker, task_prompt))),
        f"{api} output type": typed_output,
    }


run_steps({**steps_of("responses", True), **steps_of("chat", False)})
