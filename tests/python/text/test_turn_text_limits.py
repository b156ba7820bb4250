"""Reasoning that is bounded, on the templates of real models: what an engine makes that is told
which token must come.
"""

from __future__ import annotations

from typing import Any

import pytest
from mlx_serving.calls.reasoning import opens
from mlx_serving.messages import Admission, ReasoningRequest, Sampling
from mlx_serving.text.hugging_face import HfTextModel
from mlx_serving.text.turn_text import TurnText, prompt_end, turn_text

import turns

USER = [{"role": "user", "content": "What is the weather?"}]
THOUGHT = "Is it cold there?"
NAMES = [
    "Qwen-Qwen3-0.6B",
    "openai-gpt-oss-120b",
    "deepseek-ai-DeepSeek-V3.1",
    "mistralai-Ministral-3-14B-Reasoning-2512",
]


class Answer:
    """A model that thinks this and then answers that, unless it is made to end its thoughts."""

    def __init__(self, model: HfTextModel, budget: int | None, thought: str, rest: str) -> None:
        prompt = turns.prompt_of(model, USER, reasoning=ReasoningRequest(enabled=True))
        request = Admission(1, prompt, [], 900, Sampling())
        found = model.turn_format(request)
        assert found is not None and found.reasoning is not None
        if budget is not None:
            reasoning = ReasoningRequest(max_tokens=budget)
            request = Admission(1, prompt, [], 900, Sampling(), reasoning=reasoning)
        self.model, self.request, self.turn = model, request, found
        self.opened = opens(prompt_end(model, prompt), found.reasoning)
        begin = "" if self.opened else found.reasoning.begin
        self.thought = self._tokens(begin + thought)
        self.rest = self._tokens(rest)
        self.end = self._tokens(found.reasoning.end)
        self.tokens: list[int] = []
        self.pieces: list[Any] = []

    def _tokens(self, text: str) -> list[int]:
        return turns.tokens_of(self.model, text)[: -len(self.model.end_tokens)]

    def text(self, emitted: int = 0) -> TurnText:
        text = turn_text(self.model, self.turn, self.request, {})
        for token in self.tokens[:emitted]:
            text.push(token)
        return text

    def play(self) -> None:
        text, waiting = self.text(), [*self.thought, *self.end]
        while text.forced is not None or waiting:
            if text.forced is not None:
                waiting = []
            token = waiting.pop(0) if text.forced is None else text.forced
            self._said(text.push(token), token)
        for token in self.rest:
            self._said(text.push(token), token)
        self._said(text.finish(), None)

    def _said(self, said: Any, token: int | None) -> None:
        if token is not None:
            self.tokens.append(token)
        self.pieces.append([["content", said]] if isinstance(said, str) else [*map(list, said)])

    def of(self, kind: str) -> str:
        return "".join(piece[1] for said in self.pieces for piece in said if piece[0] == kind)

    def count(self, kind: str) -> int:
        return sum(any(piece[0] == kind for piece in said) for said in self.pieces)


def rest_of(name: str) -> str:
    if name.startswith("openai"):
        return "<|start|>assistant<|channel|>final<|message|>It is."
    return "It is."


@pytest.mark.parametrize("silent", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_a_thought_ends_where_its_budget_does(name: str, silent: bool) -> None:
    model = turns.real_model(name, silent)
    whole = Answer(model, None, THOUGHT, rest_of(name))
    whole.play()
    assert (whole.of("reasoning"), whole.of("content")) == (THOUGHT, "It is.")
    for budget in (0, 1, 7, len(THOUGHT), 500):
        answer = Answer(model, budget, THOUGHT, rest_of(name))
        answer.play()
        assert answer.of("content") == "It is."
        own = answer.count("reasoning") - answer.count("forced")
        assert own <= budget
        if budget <= len(THOUGHT):
            assert answer.of("reasoning") == THOUGHT[:budget]
            assert answer.count("forced") == len(model.reasoning_end())
        else:
            assert answer.tokens == whole.tokens and answer.count("forced") == 0


@pytest.mark.parametrize("name", NAMES)
def test_it_is_a_function_of_the_tokens(name: str) -> None:
    answer = Answer(turns.real_model(name, False), 4, THOUGHT, rest_of(name))
    answer.play()
    text = answer.text()
    for index, token in enumerate(answer.tokens):
        again = answer.text(index)
        assert again.forced == text.forced and again.forced in (None, token)
        # One that was taken before is passed over.
        again.take(index - 1, token)
        again.take(index, token)
        text.push(token)
        assert again.forced == text.forced


def test_a_prompt_that_opens_reasoning_is_bounded_from_its_first_token() -> None:
    """By a template whose prompt ends with the mark, and a mark of several tokens."""
    template = (
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}<|assistant|><think>\n"
        "{# </think> #}"
    )
    model = turns.text_model(template)
    answer = Answer(model, 0, THOUGHT, "It is.")
    answer.play()
    assert answer.opened and answer.text().forced == model.reasoning_end()[0]
    assert (answer.of("reasoning"), answer.of("content")) == ("", "It is.")
    assert answer.tokens == [*model.reasoning_end(), *answer.rest]
