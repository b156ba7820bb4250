"""What the worker needs of a model's text side: its template, its tokenizer, its vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from .streaming import Detokenizer


class TextModel(Protocol):
    """Template, tokenizer and vocabulary of the loaded model. `render` and `tokenize` are called
    by the prepare thread, the rest by the link thread."""

    end_tokens: frozenset[int]
    vocabulary: int
    token_bytes_max: int
    """Length of the longest token: bounds a text's tokens before they are counted."""

    def render(self, messages: list[dict[str, Any]], template_args: dict[str, Any]) -> str:
        """The prompt of a chat. Raises `Refused`."""
        ...

    def tokenize(self, text: str, rendered: bool) -> list[int]:
        """`rendered`: the text comes from a template, which brings its own special tokens."""
        ...

    def detokenizer(self, continues: Sequence[int]) -> Detokenizer:
        """`continues`: the prompt that the text goes on from; empty where it begins a turn of a
        chat, and a first space that the tokenizer put there is no part of it."""
        ...

    def token_bytes(self, token: int) -> bytes: ...

    def token_text(self, token: int) -> str:
        """What people call it: its text, or its name where it has none."""
        ...

    def silent_token(self, name: str) -> int | None:
        """The token without text that has this name: as a stop string it is the token."""
        ...
