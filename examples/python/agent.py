"""A model that calls functions of this program until it can answer, with the official client.

usage: agent.py [http://127.0.0.1:8088]
"""

from __future__ import annotations

import json
import sys
from typing import Any

from openai import OpenAI

TURNS_MAX = 8
SKIES = {"Oslo": "grey", "Rome": "blue"}
TOOLS: list[Any] = [
    {
        "type": "function",
        "name": "weather",
        "description": "The weather of a city today",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "Its name"}},
            "required": ["city"],
            "additionalProperties": False,
        },
        "strict": True,
    }
]


def weather(city: str) -> dict[str, str]:
    if city not in SKIES:
        raise ValueError(f"{city} has no weather station.")
    return {"city": city, "sky": SKIES[city]}


FUNCTIONS = {"weather": weather}


def output_of(name: str, arguments: str) -> str:
    """What goes wrong, the model is told: it may do better."""
    try:
        return json.dumps(FUNCTIONS[name](**json.loads(arguments)))
    except Exception as error:
        return f"Error: {error}"


def run(client: OpenAI, question: str) -> str:
    history: list[Any] = [{"role": "user", "content": question}]
    model = client.models.list().data[0].id
    for _ in range(TURNS_MAX):
        response = client.responses.create(model=model, input=history, tools=TOOLS)
        calls = [item for item in response.output if item.type == "function_call"]
        if not calls:
            return response.output_text
        history += [item.to_dict() for item in response.output]
        for call in calls:
            output = output_of(call.name, call.arguments)
            print(f"[{call.name}] {output}")
            answer = {"type": "function_call_output", "call_id": call.call_id, "output": output}
            history.append(answer)
    raise RuntimeError(f"no answer within {TURNS_MAX} turns")


def main(base_url: str = "http://127.0.0.1:8088") -> None:
    client = OpenAI(base_url=f"{base_url}/v1", api_key="none")
    print(run(client, "I go to Oslo, then to Rome. What do I pack?"))


if __name__ == "__main__":
    main(*sys.argv[1:])
