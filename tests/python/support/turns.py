"""Models of text alone that have a real chat template, and requests whose answers are played."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from formats.bytes_tokenizer import CONTROL
from formats.real_template import real_template
from mlx_lm.tokenizer_utils import TokenizerWrapper
from mlx_serving.calls.model_format import ModelFormat, derive_model_format
from mlx_serving.engine import End
from mlx_serving.link.active_requests import ActiveRequests
from mlx_serving.messages import Admission, Chat, Said, Sampling, ToolOffer
from mlx_serving.text.hugging_face import HfTextModel
from mlx_serving.text.pieces import byte_level_alphabet, pieces_of
from mlx_serving.text.prompts import prompt_tokens
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

import llama_cpp_sources

BEGIN, END = "<s>", "</s>"
CONTEXT = 1 << 20


@cache
def source(name: str) -> str:
    try:
        return (llama_cpp_sources.folder("templates") / f"{name}.jinja").read_text("utf-8")
    except llama_cpp_sources.NotFetched as why:
        pytest.skip(str(why))


def names() -> list[str]:
    try:
        folder: Path = llama_cpp_sources.folder("templates")
    except llama_cpp_sources.NotFetched:
        return []
    return sorted(path.stem for path in folder.glob("*.jinja"))


@cache
def format_of(name: str) -> ModelFormat:
    return derive_model_format(real_template(source(name)))


def text_model(
    template: str, control_tokens: Sequence[str] = (), mode: str = "text", end: str = END
) -> HfTextModel:
    """A tokenizer of single bytes. `control_tokens`: without text, as special tokens are."""
    library = Tokenizer(models.BPE(byte_level_alphabet(), []))
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    library.decoder = decoders.ByteLevel()
    special = dict.fromkeys((BEGIN, end, *control_tokens))
    library.add_special_tokens([AddedToken(name, normalized=False) for name in special])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=library, bos_token=BEGIN, eos_token=end)
    tokenizer.chat_template = template
    wrapper = TokenizerWrapper(tokenizer)
    ends = frozenset({int(library.token_to_id(end))})
    return HfTextModel(wrapper, pieces_of(wrapper, ends), ends, mode)


@cache
def real_model(name: str, silent: bool) -> HfTextModel:
    """`silent`: the marks of its turns are tokens without text."""
    marks = {found for mark in format_of(name).marks for found in CONTROL.findall(mark)}
    return text_model(source(name), sorted(marks) if silent else ())


def prompt_of(
    model: HfTextModel, messages: list[dict[str, Any]], tools: ToolOffer | None = None, **more: Any
) -> list[int]:
    return prompt_tokens(Chat(messages, tools=tools, **more), model, CONTEXT)


def tokens_of(model: HfTextModel, text: str) -> list[int]:
    """Of an answer, as a model writes it: marks are tokens where it has them."""
    tokens = model._tokenizer.encode(text, add_special_tokens=False)
    return [*map(int, tokens), *model.end_tokens]


class Played:
    """An answer, token by token. `said`: of each token, then of the end."""

    def __init__(
        self,
        model: HfTextModel,
        prompt: list[int],
        answer: list[int],
        tools: ToolOffer | None = None,
        emitted: int = 0,
        finish: Any = "stop",
        **sampling: Any,
    ) -> None:
        active = ActiveRequests(model, CONTEXT)
        request = Admission(1, prompt, answer[:emitted], CONTEXT, Sampling(**sampling), tools=tools)
        self.said: list[Said] = []
        ended = active.admit(request)
        for index, token in enumerate(answer[emitted:], emitted):
            if ended is not None:
                break
            rows, stopped = active.rows([(1, index, token, None)])
            self.said.append(rows[0][3])
            ended = stopped[0] if stopped else None
        ended = ended or active.end(End(1, finish))
        assert ended is not None
        self.tail, self.finish = ended.body["tail"], ended.body["finish"]

    @property
    def turn(self) -> list[list[Any]]:
        """All pieces, neighbours of one kind as one."""
        turn: list[list[Any]] = []
        for said in [*self.said, self.tail]:
            for kind, value in [("content", said)] if isinstance(said, str) else said:
                if turn and turn[-1][0] == kind and kind in ("content", "reasoning", "arguments"):
                    turn[-1][1] += value
                elif value != "":
                    turn.append([kind, value])
        return turn
