"""A tokenizer of single bytes and of control tokens, for llguidance and for us."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from mlx_serving.calls.model_format import ModelFormat
from mlx_serving.text.pieces import byte_level_alphabet

END: Final = "<END>"
# What looks like the name of a control token.
CONTROL: Final = re.compile(r"\]<\]minimax\[>\[|</?[^<>\s\ue000-\ue004\"=/]+>|\[/?[A-Z_]+\]")


class BytesTokenizer:
    def __init__(self, control_tokens: Sequence[str]) -> None:
        from llguidance import LLTokenizer
        from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

        alphabet = byte_level_alphabet()
        backend = Tokenizer(models.BPE(vocab=alphabet, merges=[]))
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        backend.decoder = decoders.ByteLevel()
        names = [END, *control_tokens]
        backend.add_special_tokens([AddedToken(name, normalized=False) for name in names])
        self.backend: Any = backend
        self.end = int(backend.token_to_id(END))
        self.special = {name: int(backend.token_to_id(name)) for name in control_tokens}
        self.for_llguidance = LLTokenizer(backend.to_str(), eos_token=self.end)

    def encode(self, text: str) -> list[int]:
        return list(self.backend.encode(text, add_special_tokens=False).ids)

    def decode(self, tokens: Sequence[int]) -> str:
        return str(self.backend.decode(list(tokens), skip_special_tokens=False))


def tokenizer_for(model: ModelFormat, with_control_tokens: bool) -> BytesTokenizer:
    """Where marks are control tokens, and where they are text."""
    names: set[str] = set()
    if with_control_tokens:
        names = {name for mark in model.marks for name in CONTROL.findall(mark)}
    return _tokenizer(tuple(sorted(names)))


@cache
def _tokenizer(names: tuple[str, ...]) -> BytesTokenizer:
    return BytesTokenizer(names)


def accepts(tokenizer: BytesTokenizer, lark: str, text: str) -> bool:
    """Whether a grammar takes this text as a whole. Raises `ValueError` for one that is none."""
    from llguidance import LLMatcher

    matcher = LLMatcher(tokenizer.for_llguidance, LLMatcher.grammar_from_lark(lark), log_level=0)
    if matcher.is_error():
        raise ValueError(matcher.get_error())
    tokens = tokenizer.encode(text)
    return matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting()
