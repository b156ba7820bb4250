"""From a request's input to prompt tokens, on a thread of its own.

Templates and tokenizers may take long, and the link thread must not wait for them: other streams
go on. Owns the bounds on a prompt's size.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final

from .engine import TextModel
from .messages import (
    Chat,
    Prepare,
    Prepared,
    PrepareInput,
    Refused,
    Text,
    Tokens,
    pack_tokens,
)
from .prefix import block_hashes

# One more than a client may send: instructions are a message too.
MESSAGES_MAX: Final = 16_385
# What fits into a frame as u32, with its block hashes.
PROMPT_TOKENS_MAX: Final = 6 * 1024 * 1024
# A prompt of more characters may take longer than the orchestrator waits for a sign of life; so
# much patience for each is several times what the slowest texts take.
LONG_CHARACTERS: Final = 200_000
PATIENCE_MS_PER_CHARACTER: Final = 0.05


def context_exceeded(field: str, tokens: str, context_max: int) -> Refused:
    return Refused(
        "context_length_exceeded",
        field,
        f"{field}: {tokens} tokens; the limit is {context_max - 1}, the context of "
        f"{context_max} tokens less one for the answer",
    )


def patience_ms(input: PrepareInput) -> float:
    """What this prompt may take beyond the usual; 0 for all but long ones."""
    if isinstance(input, Tokens):
        return 0.0
    characters = _characters(input.text if isinstance(input, Text) else input.messages)
    return characters * PATIENCE_MS_PER_CHARACTER if characters > LONG_CHARACTERS else 0.0


def _characters(value: object) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, list):
        return sum(map(_characters, value))
    return sum(map(_characters, value.values())) if isinstance(value, dict) else 0


def input_field(input: PrepareInput) -> str:
    return "messages" if isinstance(input, Chat) else "input"


def prompt_tokens(input: PrepareInput, model: TextModel, context_max: int) -> list[int]:
    """The tokens of a prompt. Raises `Refused`."""
    field = input_field(input)
    if isinstance(input, Chat):
        if len(input.messages) > MESSAGES_MAX:
            raise Refused("invalid_prompt", field, f"messages: at most {MESSAGES_MAX} are allowed")
        text = model.render(input.messages, input.template_args)
        tokens = _tokenize(text, True, field, model, context_max)
    elif isinstance(input, Text):
        tokens = _tokenize(input.text, False, field, model, context_max)
    else:
        tokens = input.tokens
    check_prompt(tokens, field, model, context_max)
    return tokens


def check_prompt(tokens: list[int], field: str, model: TextModel, context_max: int) -> None:
    """Raises `Refused` when the model cannot take these tokens."""
    if not tokens:
        raise Refused("invalid_prompt", field, f"{field} must not be empty")
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


class Preparer:
    """The prepare thread. The callbacks are called on it."""

    def __init__(
        self,
        model: TextModel,
        context_max: int,
        done: Callable[[Prepared], None],
        refused: Callable[[int, Refused], None],
        crashed: Callable[[BaseException], None],
        busy: Callable[[str, float], None],
    ) -> None:
        self._model = model
        self._context_max = context_max
        self._done = done
        self._refused = refused
        self._crashed = crashed
        self._busy = busy
        self._queue: SimpleQueue[Prepare] = SimpleQueue()
        self._wanted: set[int] = set()
        threading.Thread(target=self._run, name="prepare", daemon=True).start()

    def put(self, request: Prepare) -> None:
        self._wanted.add(request.id)
        self._queue.put(request)

    def pending(self, id: int) -> bool:
        return id in self._wanted

    def settle(self, id: int) -> bool:
        """Whether the request was still without an answer. It has one now, or never gets one."""
        if id not in self._wanted:
            return False
        self._wanted.discard(id)
        return True

    def _run(self) -> None:
        try:
            while True:
                self._answer(self._queue.get())
        except BaseException as error:
            self._crashed(error)

    def _answer(self, request: Prepare) -> None:
        if request.id not in self._wanted:
            return
        if (patience := patience_ms(request.input)) > 0:
            self._busy("preparing a long prompt", patience)
        try:
            tokens = prompt_tokens(request.input, self._model, self._context_max)
        except Refused as refusal:
            self._refused(request.id, refusal)
            return
        except MemoryError:
            raise
        except BaseException as error:
            # Templates and tokenizers fail in their own ways, a Rust panic is no Exception: the
            # input is to blame, and it alone. The error's text may hold the prompt.
            reason = f"the prompt cannot be prepared ({type(error).__name__})"
            self._refused(request.id, Refused("invalid_prompt", input_field(request.input), reason))
            return
        body: Prepared = {
            "id": request.id,
            "tokens": pack_tokens(tokens),
            "blockHashes": block_hashes(tokens),
        }
        self._done(body)
