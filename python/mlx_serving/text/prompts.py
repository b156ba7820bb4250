"""From a request's input to the tokens of its prompt, or a refusal that names the field to blame.

Owns the bounds on a prompt's size. Knows no thread and no link.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ..failures import Refused
from ..messages import Chat, PrepareInput, Text, Texts, Tokens
from .late_system import without_late_system
from .model import TextModel

# One more than a client may send: instructions are a message too.
MESSAGES_MAX: Final = 16_385
# What fits into a frame as u32, with its block hashes.
PROMPT_TOKENS_MAX: Final = 6 * 1024 * 1024


def context_exceeded(field: str, tokens: str, context_max: int) -> Refused:
    return Refused(
        "context_length_exceeded",
        field,
        f"{field}: {tokens} tokens; the limit is {context_max - 1}, the context of "
        f"{context_max} tokens less one for the answer",
    )


def input_field(input: PrepareInput) -> str:
    return "messages" if isinstance(input, Chat) else "input"


def all_tokens(input: PrepareInput, model: TextModel) -> list[int]:
    """The tokens of what need not fit into a context: of no text at all none. Raises `Refused`."""
    if (isinstance(input, Text) and not input.text) or (
        isinstance(input, Tokens) and not input.tokens
    ):
        return []
    return prompt_tokens(input, model, PROMPT_TOKENS_MAX + 1)


def text_tokens(texts: Texts, model: TextModel, context_max: int) -> list[list[int]]:
    """The tokens of each. Raises `Refused`, which names the first that can't be read."""
    return [
        _tokens_of_one(one, f"input[{i}]", model, context_max) for i, one in enumerate(texts.texts)
    ]


def _tokens_of_one(
    one: str | list[int], field: str, model: TextModel, context_max: int
) -> list[int]:
    if isinstance(one, str):
        least = len(one) // model.token_bytes_max
        if least > context_max:
            raise text_too_long(field, f"at least {least}", context_max)
        one = model.tokenize(one, False)
    check_text(one, field, model, context_max)
    return one


def check_text(tokens: list[int], field: str, model: TextModel, context_max: int) -> None:
    """Raises `Refused` for what can't be read as a text by itself."""
    if not tokens:
        raise Refused("invalid_prompt", field, f"{field} must not be empty")
    if len(tokens) > context_max:
        raise text_too_long(field, str(len(tokens)), context_max)
    if max(tokens) >= model.vocabulary:
        message = f"{field}: token ids must be below {model.vocabulary}"
        raise Refused("invalid_prompt", field, message)


def check_texts(
    tokens: list[int], lengths: Sequence[int], model: TextModel, context_max: int
) -> None:
    """The same of several that stand one after another."""
    if sum(lengths) != len(tokens):
        raise Refused("invalid_request", "reading", "reading: the lengths are not the prompt's")
    end = 0
    for i, length in enumerate(lengths):
        check_text(tokens[end : end + length], f"input[{i}]", model, context_max)
        end += length


def text_too_long(field: str, tokens: str, context_max: int) -> Refused:
    message = f"{field}: {tokens} tokens; the limit is {context_max}"
    return Refused("context_length_exceeded", field, message)


def prompt_tokens(input: PrepareInput, model: TextModel, context_max: int) -> list[int]:
    """The tokens of a prompt. Raises `Refused`."""
    field = input_field(input)
    if isinstance(input, Chat):
        if len(input.messages) > MESSAGES_MAX:
            raise Refused("invalid_prompt", field, f"messages: at most {MESSAGES_MAX} are allowed")
        tokens = _tokens_of_chat(_rendered(input, model), input.previous, field, model, context_max)
    elif isinstance(input, Text):
        tokens = _tokenize(input.text, not input.special, field, model, context_max)
    elif isinstance(input, Texts):
        raise TypeError("several texts are no prompt")
    else:
        tokens = input.tokens
    check_prompt(tokens, field, model, context_max)
    return tokens


def _rendered(chat: Chat, model: TextModel) -> str:
    """Raises `Refused`, for the messages as they came."""

    def render(messages: Sequence[dict[str, Any]]) -> str:
        return model.render(messages, chat.template_args, chat.tools, chat.reasoning)

    try:
        return render(chat.messages)
    except Refused as refusal:
        folded = without_late_system(chat.messages) if chat.folds_system else None
        if folded is None:
            raise
        try:
            return render(folded)
        except Refused:
            raise refusal from None


def _tokens_of_chat(
    text: str, previous: list[int], field: str, model: TextModel, context_max: int
) -> list[int]:
    def tokenize(part: str) -> list[int]:
        return _tokenize(part, True, field, model, context_max)

    continued = model.continued(text, previous, tokenize) if previous else None
    return tokenize(text) if continued is None else continued


def check_prompt(tokens: list[int], field: str, model: TextModel, context_max: int) -> None:
    """Raises `Refused` when the model cannot take these tokens."""
    if not tokens:
        raise Refused(
            "invalid_prompt",
            field,
            f"{field} must not be empty: this model has no begin-of-text token to go on from",
        )
    room = min(context_max, PROMPT_TOKENS_MAX + 1)
    if len(tokens) > room - 1:
        raise context_exceeded(field, str(len(tokens)), room)
    if max(tokens) >= model.vocabulary:
        raise Refused(
            "invalid_prompt", field, f"{field}: token ids must be below {model.vocabulary}"
        )


def _tokenize(
    text: str, rendered: bool, field: str, model: TextModel, context_max: int
) -> list[int]:
    # A text this long cannot fit: don't spend time on finding out by how much.
    least = len(text) // model.token_bytes_max
    if least > context_max:
        raise context_exceeded(field, f"at least {least}", context_max)
    return model.tokenize(text, rendered)
