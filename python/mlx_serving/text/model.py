"""What the worker needs of a model's text side: its template, its tokenizer, its vocabulary."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from ..messages import Admission, ReasoningRequest, ToolOffer
from .streaming import Detokenizer
from .turn_formats import TurnFormat


class TextModel(Protocol):
    """Template, tokenizer and vocabulary of the loaded model. `learn_turns`, `reasoning_end`,
    `render`, `tokenize`, `spell` and `continued` are called by the prepare thread, the rest by the
    link thread."""

    end_tokens: frozenset[int]
    vocabulary: int
    token_bytes_max: int
    """Length of the longest token: bounds a text's tokens before they are counted."""

    def learn_turns(self) -> None:
        """Finds out how the model writes its turns. The prepare thread asks for it before the first
        prompt: it takes as long as rendering a hundred."""
        ...

    def turn_format(self, request: Admission) -> TurnFormat | None:
        """How the request's answer is read; None where it is plain text."""
        ...

    def reasoning_end(self) -> tuple[int, ...]:
        """The tokens that end the model's reasoning. None of a model that doesn't reason, and where
        no tokens are known to end it: its reasoning can't be bounded."""
        ...

    def render(
        self,
        messages: Sequence[dict[str, Any]],
        template_args: dict[str, Any],
        tools: ToolOffer | None = None,
        reasoning: ReasoningRequest | None = None,
    ) -> str:
        """The prompt of a chat. Raises `Refused`."""
        ...

    def tokenize(self, text: str, rendered: bool) -> list[int]:
        """`rendered`: the text comes from a template, which brings its own special tokens."""
        ...

    def spell(self, tokens: Sequence[int]) -> list[str]:
        """What each says; control tokens by name, and where a character is of several tokens it is
        the last one's. Together they are a text of these tokens."""
        ...

    def continued(
        self, text: str, previous: Sequence[int], tokenize: Callable[[str], list[int]]
    ) -> list[int] | None:
        """The tokens of a rendered text, with `previous` for as much of its beginning as they are
        the tokens of, and `tokenize` for the rest; None where they are of none."""
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

    def added_tokens(self) -> Mapping[str, int]:
        """Tokens by name that no merging of characters makes: control tokens are among them."""
        ...
