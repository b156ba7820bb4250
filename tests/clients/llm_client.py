"""llm: a model that is added by its file of models; texts, streams, tools, schemas."""

import json
import os
from pathlib import Path
from typing import Any

home = Path("llm")
home.mkdir(exist_ok=True)
os.environ["LLM_USER_PATH"] = str(home.resolve())

import llm  # noqa: E402 - it reads the variable when it is imported
from pydantic import BaseModel  # noqa: E402

from support.steps import colour, greeting, model, run_steps, same, url  # noqa: E402
from support.task import do_task, functions, task_prompt  # noqa: E402

(home / "extra-openai-models.yaml").write_text(
    f"- model_id: local\n  model_name: {model}\n  api_base: {url}/v1\n"
    "  supports_tools: true\n  supports_schema: true\n"
)


class Colour(BaseModel):
    colour: str
    count: int


local: Any = llm.get_model("local")
local.key = "none"


def task(stream: bool) -> object:
    tools = [llm.Tool.function(function) for function in functions.values()]
    chain = local.chain(task_prompt, tools=tools, stream=stream)
    # It gives the text of every turn, one after another.
    return chain.text().removeprefix("I look at the notes.").strip()


def schema() -> object:
    return same(json.loads(local.prompt("SCHEMA-1", schema=Colour).text()), colour)


run_steps(
    {
        "prompt": lambda: same(local.prompt("SAY-1", stream=False).text(), greeting),
        "stream": lambda: same("".join(local.prompt("SAY-1", stream=True)), greeting),
        "tools": lambda: do_task(lambda: task(False)),
        "tools stream": lambda: do_task(lambda: task(True)),
        "schema": schema,
    }
)
