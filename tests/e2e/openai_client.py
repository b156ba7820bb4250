"""One question through every streaming API of the official Python client, all with greedy sampling,
and the calls that send an empty body.

usage: openai_client.py BASE_URL QUESTION MAX_TOKENS
Prints {"chat": text, "responses": text, "connect": text, "cancelled": text, "deleted": true} as JSON.
"""

from __future__ import annotations

import json
import sys

from openai import NotFoundError, OpenAI


def chat(client: OpenAI, question: str, max_tokens: int) -> str:
    stream = client.chat.completions.create(
        model=client.models.list().data[0].id,
        messages=[{"role": "user", "content": question}],
        max_tokens=max_tokens,
        temperature=0,
        stream=True,
    )
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


def responses(client: OpenAI, question: str, max_tokens: int) -> str:
    stream = client.responses.create(
        model=client.models.list().data[0].id,
        input=question,
        max_output_tokens=max_tokens,
        temperature=0,
        stream=True,
    )
    return "".join(event.delta for event in stream if event.type == "response.output_text.delta")


def connect(client: OpenAI, question: str, max_tokens: int) -> str:
    text = ""
    with client.responses.connect() as connection:
        connection.response.create(
            model=client.models.list().data[0].id,
            input=question,
            max_output_tokens=max_tokens,
            temperature=0,
        )
        for event in connection:
            if event.type == "error":
                raise RuntimeError(event.to_json())
            if event.type == "response.output_text.delta":
                text += event.delta
            if event.type in ("response.completed", "response.incomplete"):
                return text
            if event.type == "response.failed":
                raise RuntimeError(event.to_json())
    raise RuntimeError("the connection ended before the response")


def cancelled(client: OpenAI, question: str, max_tokens: int) -> str:
    """Of one that has ended: it stays as it was."""
    response = client.responses.create(input=question, max_output_tokens=max_tokens, temperature=0)
    return client.responses.cancel(response.id).output_text


def deleted(client: OpenAI, question: str, max_tokens: int) -> bool:
    response = client.responses.create(input=question, max_output_tokens=max_tokens)
    client.responses.delete(response.id)
    try:
        client.responses.retrieve(response.id)
    except NotFoundError:
        return True
    return False


def main(base_url: str, question: str, max_tokens: str) -> None:
    client = OpenAI(base_url=base_url, api_key="none", max_retries=0)
    runs = (chat, responses, connect, cancelled, deleted)
    answers = {run.__name__: run(client, question, int(max_tokens)) for run in runs}
    print(json.dumps(answers))


if __name__ == "__main__":
    main(*sys.argv[1:])
