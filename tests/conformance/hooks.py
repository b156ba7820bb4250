"""Requests that JSON Schema calls valid and the server is right to refuse are mended: those that
contradict themselves (calls and choices of tools that aren't there, two things to keep an answer
to), those that name what isn't there (an earlier response, an item of a list), and those that only
the model can judge: nothing to answer, unknown tokens, schemas.
Tests in tests/ts/server see to it that they are refused."""

from __future__ import annotations

from typing import Any

import schemathesis
from schemathesis import Case, GenerationMode, HookContext

CHOICES_MAX = 128
# Names of one limit: they must agree.
TOKEN_LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens", "n_predict")
# What to read, of which a request has one.
PROMPTS = ("prompt", "messages", "content")
# What an answer is kept to: one thing at most, and one that can be enforced.
STRUCTURES = (
    "guided_json",
    "guided_regex",
    "guided_choice",
    "guided_grammar",
    "structured_outputs",
    "json_schema",
    "grammar",
    "regex",
    "ebnf",
    "output_config",
    "output_format",
)
# What is made by other requests.
CURSORS = ("after", "before")
# Of a tool, what its calls are kept to.
KEPT_TO = ("format", "strict", "parameters")
# Tokens that every model has.
TOKENS = 256


@schemathesis.hook
def map_case(context: HookContext, case: Case) -> Case:
    is_meant_right = case.meta is None or case.meta.generation.mode == GenerationMode.POSITIVE
    if is_meant_right and isinstance(case.body, dict):
        case.body = agreeing(case.body)
        if case.path in ("/v1/responses", "/v1/responses/input_tokens"):
            # Needed where nothing is before it.
            case.body.setdefault("input", "x")
        if case.path == "/api/show":
            case.body["model"] = "x"
        if case.path.endswith("/tokenize") and not any(case.body.get(name) for name in PROMPTS):
            case.body["prompt"] = "x"
    if is_meant_right and isinstance(case.query, dict):
        case.query = {name: value for name, value in case.query.items() if name not in CURSORS}
    return case


def agreeing(body: dict[str, Any]) -> dict[str, Any]:
    body = dict(body)
    # How many a model's vectors have, it alone knows.
    body.pop("dimensions", None)
    given = [name for name in PROMPTS if body.get(name) is not None]
    for name in PROMPTS:
        if name not in given[:1]:
            body.pop(name, None)
    if isinstance(body.get("tokens"), list):
        body["tokens"] = answerable(body["tokens"])
    body.pop("previous_response_id", None)
    if body.get("stream_options") is not None:
        body["stream"] = True
    given = [name for name in TOKEN_LIMITS if body.get(name) is not None]
    for name in given[1:]:
        del body[name]
    if body.get("background"):
        body["store"] = True
    if "messages" in body and body.get("top_logprobs"):
        body["logprobs"] = True
    body = without_tools(without_structure(body))
    if "prompt" in body:
        body["prompt"] = answerable(body["prompt"])
    if isinstance(body.get("logit_bias"), dict):
        bias = body["logit_bias"].items()
        body["logit_bias"] = {str(int(id) % TOKENS): value for id, value in bias}
    if prompts_in(body.get("prompt")) * (body.get("n") or 1) > CHOICES_MAX:
        body["n"] = 1
    return body


def without_structure(body: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in body.items() if name not in STRUCTURES}
    if not is_plain(kept.get("response_format")):
        del kept["response_format"]
    text = kept.get("text")
    if isinstance(text, dict) and not is_plain(text.get("format")):
        kept["text"] = {name: value for name, value in text.items() if name != "format"}
    return kept


def is_plain(format: Any) -> bool:
    return format is None or (isinstance(format, dict) and format.get("type") == "text")


def without_tools(body: dict[str, Any]) -> dict[str, Any]:
    """One tool is offered at most, and neither chosen nor called."""
    for name in ("tool_choice", "function_call"):
        if body.get(name) not in (None, "auto", "none"):
            del body[name]
    for name in ("tools", "functions"):
        if isinstance(body.get(name), list):
            body[name] = [lone(tool) for tool in body[name][:1]]
    if isinstance(body.get("messages"), list):
        said = [message for message in body["messages"] if is_said(message)]
        body["messages"] = [*said, {"role": "user", "content": "x"}]
    if isinstance(body.get("input"), list):
        said = [item for item in body["input"] if isinstance(item, dict) and "role" in item]
        texts = [item for item in body["input"] if not isinstance(item, dict)]
        body["input"] = said or answerable(texts) or "x"
    return body


def lone(tool: dict[str, Any]) -> dict[str, Any]:
    """Tools of one namespace have names of their own. Without what its calls are kept to."""
    plain = {name: value for name, value in tool.items() if name not in KEPT_TO}
    if "input_schema" in plain:
        plain["input_schema"] = {"type": "object"}
    for name in ("function", "custom"):
        if isinstance(plain.get(name), dict):
            plain[name] = lone(plain[name])
    if isinstance(plain.get("tools"), list):
        plain["tools"] = [lone(one) for one in plain["tools"][:1]]
    return plain


def is_said(message: dict[str, Any]) -> bool:
    """No call and no result of one."""
    if message.get("role") in ("tool", "function"):
        return False
    if message.get("tool_calls") or message.get("function_call"):
        return False
    content = message.get("content")
    if isinstance(content, list):
        return all(part.get("type") in ("text", "refusal") for part in content)
    return isinstance(content, str)


def answerable(prompt: Any) -> Any:
    if isinstance(prompt, list):
        return [answerable(one) for one in prompt]
    return prompt % TOKENS if isinstance(prompt, (int, float)) else prompt or "x"


def prompts_in(prompt: Any) -> int:
    is_list = isinstance(prompt, list) and not all(isinstance(id, (int, float)) for id in prompt)
    return len(prompt) if is_list else 1
