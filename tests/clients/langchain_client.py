"""LangChain for Python, over OpenAI's two APIs and Anthropic's: texts, tools, schemas."""

from collections.abc import Callable
from typing import Any

from langchain.agents import create_agent
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from support.steps import colour, greeting, model, run_steps, same, url
from support.task import call_tool, chat_tools, do_task, functions, task_prompt

openai: dict[str, Any] = {"model": model, "api_key": "none", "base_url": f"{url}/v1"}
models: dict[str, Any] = {
    "chat": ChatOpenAI(**openai),
    "responses": ChatOpenAI(**openai, use_responses_api=True),
    "messages": ChatAnthropic(model=model, api_key="none", base_url=url, max_tokens=2048),
}


class Colour(BaseModel):
    """A colour."""

    colour: str
    count: int


def steps_of(api: str, of: Any) -> dict[str, Callable[[], object]]:
    def streamed(asked: Any, messages: Any) -> Any:
        whole = None
        for chunk in asked.stream(messages):
            whole = chunk if whole is None else whole + chunk
        return whole

    def task(ask: Callable[[Any, Any], Any]) -> object:
        bound = of.bind_tools(chat_tools)
        messages: list[Any] = [HumanMessage(task_prompt)]
        while True:
            answer = ask(bound, messages)
            if not answer.tool_calls:
                return answer.text
            messages.append(answer)
            for call in answer.tool_calls:
                result = call_tool(call["name"], call["args"])
                messages.append(ToolMessage(result, tool_call_id=call["id"]))

    def agent() -> object:
        made: Any = create_agent(of, tools=list(functions.values()))
        said = made.invoke({"messages": [HumanMessage(task_prompt)]})
        return said["messages"][-1].text

    def structured(method: str, prompt: str) -> object:
        answer = of.with_structured_output(Colour, method=method).invoke(prompt)
        return same(answer.model_dump(), colour)

    return {
        api: lambda: same(of.invoke("SAY-1").text, greeting),
        f"{api} stream": lambda: same(streamed(of, "SAY-1").text, greeting),
        f"{api} tools": lambda: do_task(lambda: task(lambda bound, said: bound.invoke(said))),
        f"{api} tools stream": lambda: do_task(lambda: task(streamed)),
        f"{api} agent": lambda: do_task(agent),
        f"{api} structured": lambda: structured("json_schema", "SCHEMA-1"),
        f"{api} structured by a call": lambda: structured("function_calling", "CALL-Colour-1"),
    }


run_steps({step: work for api, of in models.items() for step, work in steps_of(api, of).items()})
