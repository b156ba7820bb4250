"""Bodies that JSON Schema calls valid and the server is right to refuse are mended: those that
contradict themselves, and those that only the model can judge: nothing to answer, unknown tokens.
Tests in tests/ts/server see to it that they are refused."""

from __future__ import annotations

from typing import Any

import schemathesis
from schemathesis import Case, GenerationMode, HookContext

CHOICES_MAX = 128
# Names of one limit: they must agree.
TOKEN_LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens")
# Tokens that every model has.
TOKENS = 256


@schemathesis.hook
def map_case(context: HookContext, case: Case) -> Case:
    is_meant_right = case.meta is None or case.meta.generation.mode == GenerationMode.POSITIVE
    if is_meant_right and isinstance(case.body, dict):
        case.body = agreeing(case.body)
    return case


def agreeing(body: dict[str, Any]) -> dict[str, Any]:
    body = dict(body)
    if body.get("stream_options") is not None:
        body["stream"] = True
    given = [name for name in TOKEN_LIMITS if body.get(name) is not None]
    for name in given[1:]:
        del body[name]
    if body.get("background"):
        body["store"] = True
    if "messages" in body and body.get("top_logprobs"):
        body["logprobs"] = True
    if "prompt" in body:
        body["prompt"] = answerable(body["prompt"])
    if isinstance(body.get("logit_bias"), dict):
        bias = body["logit_bias"].items()
        body["logit_bias"] = {str(int(id) % TOKENS): value for id, value in bias}
    if prompts_in(body.get("prompt")) * (body.get("n") or 1) > CHOICES_MAX:
        body["n"] = 1
    return body


def answerable(prompt: Any) -> Any:
    if isinstance(prompt, list):
        return [answerable(one) for one in prompt]
    return prompt % TOKENS if isinstance(prompt, (int, float)) else prompt or "x"


def prompts_in(prompt: Any) -> int:
    is_list = isinstance(prompt, list) and not all(isinstance(id, (int, float)) for id in prompt)
    return len(prompt) if is_list else 1
