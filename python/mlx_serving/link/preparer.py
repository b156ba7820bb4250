"""The prepare thread turns a request's input into prompt tokens, so that the link thread need not.

Templates and tokenizers may take long, and other streams go on meanwhile. This file says how long a
prompt may take; `text/prompts.py` makes its tokens, `compiler.py` what its answer is kept to.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final

from ..failures import Refused
from ..grammar.grammars import Wish
from ..grammar.matcher import Matcher
from ..messages import (
    Admission,
    Chat,
    Prepare,
    Prepared,
    PrepareInput,
    RefusalCode,
    Sampling,
    Spelling,
    Text,
    Texts,
    Tokens,
)
from ..text.block_hashes import block_hashes
from ..text.model import TextModel
from ..text.prompts import all_tokens, input_field, prompt_tokens, text_tokens
from ..text.turn_grammar import turn_grammar
from ..tokens import pack_tokens
from .compiler import GrammarCompiler

# A prompt of more characters may take longer than the orchestrator waits for a sign of life. The
# allowance for each character is several times what the slowest texts take.
LONG_CHARACTERS: Final = 200_000
ALLOWANCE_MS_PER_CHARACTER: Final = 0.05


def allowance_ms(input: PrepareInput) -> float:
    """What this prompt may take beyond the usual; 0 for all but long ones."""
    if isinstance(input, Tokens):
        return 0.0
    if isinstance(input, Text | Texts):
        characters = _characters(input.text if isinstance(input, Text) else input.texts)
    else:
        characters = _of_chat(input)
    return characters * ALLOWANCE_MS_PER_CHARACTER if characters > LONG_CHARACTERS else 0.0


def _of_chat(chat: Chat) -> int:
    tools = () if chat.tools is None else chat.tools.tools
    shown = sum(_characters([tool.description, tool.parameters]) for tool in tools)
    return _characters(chat.messages) + shown


def _characters(value: object) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, list | tuple):
        return sum(map(_characters, value))
    return sum(map(_characters, value.values())) if isinstance(value, dict) else 0


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
        grammars: GrammarCompiler,
    ) -> None:
        self._model = model
        self._context_max = context_max
        self._done = done
        self._refused = refused
        self._crashed = crashed
        self._busy = busy
        self._grammars = grammars
        self._queue: SimpleQueue[Prepare] = SimpleQueue()
        self._wanted: set[int] = set()
        threading.Thread(target=self._run, name="prepare", daemon=True).start()

    def put(self, request: Prepare) -> None:
        self._wanted.add(request.id)
        self._queue.put(request)

    def pending(self, id: int) -> bool:
        return id in self._wanted

    @property
    def any_pending(self) -> bool:
        return bool(self._wanted)

    def settle(self, id: int) -> bool:
        """Whether the request was still without an answer. It has one now, or never gets one."""
        if id not in self._wanted:
            return False
        self._wanted.discard(id)
        return True

    def _run(self) -> None:
        try:
            self._model.learn_turns()
            while True:
                self._answer(self._queue.get())
        except BaseException as error:
            self._crashed(error)

    def _answer(self, request: Prepare) -> None:
        if request.id not in self._wanted:
            return
        if (allowance := allowance_ms(request.input)) > 0:
            self._busy("preparing a long prompt", allowance)
        try:
            prepared = self._prepared(request)
        except Refused as refusal:
            self._refused(request.id, refusal)
        except MemoryError:
            # What was made so far goes with the request; the next ones may fit.
            self._refuse(request, "out_of_memory", "there is not enough memory to prepare it")
        except BaseException as error:
            # Templates and tokenizers fail in their own ways, a Rust panic is no Exception: the
            # input is to blame, and it alone. The error's text may hold the prompt.
            reason = f"the prompt cannot be prepared ({type(error).__name__})"
            self._refuse(request, "invalid_prompt", reason)
        else:
            self._compile(request.id, *prepared)

    def _compile(self, id: int, body: Prepared, wish: Wish | None) -> None:
        """The prompt is done; where there is a grammar, the request is when that is too."""
        if wish is None:
            return self._done(body)

        def compiled(result: Matcher | Refused | None) -> None:
            if isinstance(result, Refused):
                self._refused(id, result)
            else:
                self._done(body)

        return self._grammars.start(wish, (), compiled)

    def _prepared(self, request: Prepare) -> tuple[Prepared, Wish | None]:
        """Raises `Refused`."""
        if request.spell is not None:
            return self._spelled(request, request.spell), None
        if isinstance(request.input, Texts):
            return self._texts(request.id, request.input), None
        tokens = prompt_tokens(request.input, self._model, self._context_max)
        body: Prepared = {
            "id": request.id,
            "tokens": pack_tokens(tokens),
            "blockHashes": block_hashes(tokens, request.salt),
        }
        if self._is_unbounded(request.input):
            body["unbounded"] = True
        return body, turn_grammar(self._model, _as_admitted(request, tokens))

    def _texts(self, id: int, texts: Texts) -> Prepared:
        """Raises `Refused`."""
        each = text_tokens(texts, self._model, self._context_max)
        return {
            "id": id,
            "tokens": pack_tokens([token for tokens in each for token in tokens]),
            "blockHashes": [],
            "lengths": [len(tokens) for tokens in each],
        }

    def _spelled(self, request: Prepare, spell: Spelling) -> Prepared:
        """Raises `Refused`."""
        tokens = all_tokens(request.input, self._model)
        body: Prepared = {"id": request.id, "tokens": pack_tokens(tokens), "blockHashes": []}
        if spell.text or spell.pieces:
            pieces = self._model.spell(tokens)
            if spell.text:
                body["text"] = "".join(pieces)
            if spell.pieces:
                body["pieces"] = pieces
        return body

    def _is_unbounded(self, input: PrepareInput) -> bool:
        """Whether its reasoning was to be bounded, and this model's can't be."""
        reasoning = input.reasoning if isinstance(input, Chat) else None
        wants = reasoning is not None and reasoning.max_tokens is not None
        return wants and not self._model.reasoning_end()

    def _refuse(self, request: Prepare, code: RefusalCode, reason: str) -> None:
        self._refused(request.id, Refused(code, input_field(request.input), reason))


def _as_admitted(request: Prepare, tokens: list[int]) -> Admission:
    """As it will be admitted, as far as its grammar depends on it."""
    chat = request.input if isinstance(request.input, Chat) else None
    return Admission(
        request.id,
        tokens,
        emitted=[],
        max_tokens=0,
        sampling=Sampling(),
        chat=chat is not None,
        tools=None if chat is None else chat.tools,
        reasoning=None if chat is None else chat.reasoning,
        constraint=request.constraint,
    )
