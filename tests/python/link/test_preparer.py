"""The prepare thread: one bad request is refused, and the next one is prepared."""

from __future__ import annotations

from dataclasses import replace
from queue import SimpleQueue
from typing import Any

import pytest
from mlx_serving.failures import Refused
from mlx_serving.fake.text import FakeTextModel
from mlx_serving.link import preparer
from mlx_serving.link.compiler import GrammarCompiler
from mlx_serving.link.preparer import LONG_CHARACTERS, Preparer, allowance_ms
from mlx_serving.messages import (
    Chat,
    Prepare,
    PrepareInput,
    ReasoningRequest,
    Spelling,
    Text,
    Tokens,
    Tool,
    ToolOffer,
)
from mlx_serving.tokens import unpack_tokens

SECRET = "a word of the prompt"
CHAT = Chat([{"role": "user", "content": SECRET}])


def kind_of(value: object) -> str:
    return type(value).__name__


class Panic(BaseException):
    """What a library in Rust raises."""


class Model(FakeTextModel):
    def __init__(self) -> None:
        super().__init__()
        self.error: BaseException | None = None

    def render(
        self, messages: list[dict[str, Any]], template_args: dict[str, Any], *turn: Any
    ) -> str:
        self._fail()
        return super().render(messages, template_args, *turn)

    def tokenize(self, text: str, rendered: bool) -> list[int]:
        self._fail()
        return super().tokenize(text, rendered)

    def _fail(self) -> None:
        error, self.error = self.error, None
        if error is not None:
            raise error


class Thread:
    """A prepare thread, and what it says."""

    def __init__(self, model: Model) -> None:
        self.said: SimpleQueue[tuple[Any, ...]] = SimpleQueue()
        self._preparer = Preparer(
            model,
            4096,
            done=lambda body: self.said.put(("done", body)),
            refused=lambda of, refusal: self.said.put(("refused", of, refusal)),
            crashed=lambda error: self.said.put(("crashed", error)),
            busy=lambda reason, allowance: self.said.put(("busy", allowance)),
            grammars=GrammarCompiler(
                None, lambda error: self.said.put(("crashed", error)), lambda: True
            ),
        )

    def prepare(self, id: int, input: PrepareInput) -> tuple[Any, ...]:
        self._preparer.put(Prepare(id, input))
        return self.said.get(timeout=60)

    def refusal(self, id: int, input: PrepareInput) -> Refused:
        kind, of, refusal = self.prepare(id, input)
        assert (kind, of) == ("refused", id)
        assert SECRET not in str(refusal)
        return refusal  # type: ignore[no-any-return]

    def prepares(self, id: int, input: PrepareInput) -> None:
        kind, body = self.prepare(id, input)
        assert kind == "done" and body["id"] == id and unpack_tokens(body["tokens"])


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def thread(model: Model) -> Thread:
    return Thread(model)


@pytest.mark.parametrize("input", [CHAT, Text(SECRET)], ids=kind_of)
@pytest.mark.parametrize("error", [MemoryError(), MemoryError(SECRET)], ids=["bare", "telling"])
def test_memory_that_runs_out_refuses_that_request_alone(
    model: Model, thread: Thread, input: PrepareInput, error: MemoryError
) -> None:
    model.error = error
    refusal = thread.refusal(1, input)
    assert refusal.code == "out_of_memory"
    assert refusal.field == ("messages" if isinstance(input, Chat) else "input")
    thread.prepares(2, input)


@pytest.mark.parametrize("step", ["pack_tokens", "block_hashes"])
@pytest.mark.parametrize(
    "input", [CHAT, Text(SECRET), Tokens([1, 2, 3])], ids=lambda i: type(i).__name__
)
def test_memory_that_runs_out_behind_the_tokenizer(
    thread: Thread, monkeypatch: pytest.MonkeyPatch, step: str, input: PrepareInput
) -> None:
    def fail(*_: object) -> bytes:
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(preparer, step, fail)
        assert thread.refusal(1, input).code == "out_of_memory"
    thread.prepares(2, input)


@pytest.mark.parametrize(
    "error", [ValueError(SECRET), RecursionError(), Panic(SECRET), SystemExit(1)], ids=kind_of
)
def test_any_other_failure_is_the_prompts(
    model: Model, thread: Thread, error: BaseException
) -> None:
    model.error = error
    refusal = thread.refusal(1, CHAT)
    assert refusal.code == "invalid_prompt" and type(error).__name__ in str(refusal)
    thread.prepares(2, CHAT)


def test_a_refusal_of_the_model_is_handed_on(model: Model, thread: Thread) -> None:
    model.error = Refused("invalid_prompt", "messages", "no system message")
    assert str(thread.refusal(1, CHAT)) == "no system message"


def test_only_long_texts_ask_for_time(thread: Thread) -> None:
    text = Text("x" * (LONG_CHARACTERS + 1))
    assert allowance_ms(Text("x" * LONG_CHARACTERS)) == allowance_ms(Tokens([1] * 300_000)) == 0
    assert allowance_ms(Chat([{"content": [{"text": text.text}]}])) == allowance_ms(text) > 0
    assert thread.prepare(1, text) == ("busy", allowance_ms(text))


def test_how_the_model_writes_its_turns_is_found_out_before_the_first_prompt() -> None:
    class Learner(Model):
        learned = 0

        def learn_turns(self) -> None:
            self.learned += 1

        def tokenize(self, text: str, rendered: bool) -> list[int]:
            assert self.learned == 1
            return super().tokenize(text, rendered)

    thread = Thread(Learner())
    thread.prepares(1, CHAT)
    thread.prepares(2, Text("x"))


def test_long_descriptions_of_tools_are_announced_too() -> None:
    long = "x" * (LONG_CHARACTERS // 2)
    tool = Tool("f", long, {"properties": {"a": {"description": long}}})
    assert allowance_ms(Chat([], tools=ToolOffer((tool,)))) == 0
    assert allowance_ms(Chat([], tools=ToolOffer((tool, tool)))) > 0


def test_a_history_that_cannot_be_read_is_refused_with_its_place(thread: Thread) -> None:
    call = {"id": "x", "function": {"name": "f", "arguments": f"{{{SECRET}"}}
    said = Chat([*CHAT.messages, {"role": "assistant", "content": "", "tool_calls": [call]}])
    refused = thread.refusal(1, said)
    assert (refused.code, refused.field) == ("invalid_prompt", "messages")
    assert str(refused).startswith("messages[1].tool_calls[0].function.arguments")
    thread.prepares(2, CHAT)


@pytest.mark.parametrize("bound", [None, 0, 5])
def test_reasoning_that_cannot_be_bounded_is_told(
    model: Model, thread: Thread, monkeypatch: pytest.MonkeyPatch, bound: int | None
) -> None:
    """Of a model that has none, and where nobody knows how to end it."""
    chat = replace(CHAT, reasoning=ReasoningRequest(max_tokens=bound))
    assert "unbounded" not in thread.prepare(1, chat)[1]
    monkeypatch.setattr(model, "reasoning_end", lambda: ())
    assert thread.prepare(2, chat)[1].get("unbounded", False) == (bound is not None)
    assert "unbounded" not in thread.prepare(3, CHAT)[1]
    assert "unbounded" not in thread.prepare(4, Text(SECRET))[1]


def test_tokens_are_told_in_words_whatever_the_context(thread: Thread) -> None:
    for spell, said in (
        (Spelling(text=True, pieces=True), {"text": "ab" * 4096, "pieces": ["a", "b"] * 4096}),
        (Spelling(text=False, pieces=False), {}),
    ):
        thread._preparer.put(Prepare(1, Text("ab" * 4096), spell=spell))
        kind, body = thread.said.get(timeout=60)
        assert kind == "done" and len(body["tokens"]) == 4 * 8192
        assert {name: body[name] for name in ("text", "pieces") if name in body} == said
