"""Grammars of one model, compiled: those in use lately are kept, and each request gets a copy.

May be called from several threads. Compiling takes milliseconds, a bad grammar up to what the
limits allow; llguidance lets other threads run meanwhile.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from ..messages import Constraint, Refused
from .compile_times import CompileTimes
from .limits import JSON_OPTIONS, SILENT, parser_limits
from .matcher import ERROR_CHARACTERS_MAX, Matcher

if TYPE_CHECKING:
    from llguidance import LLTokenizer

KEPT_MAX: Final = 256
"""Grammars of one model."""
KEPT_CHARACTERS_MAX: Final = 8 * 1024 * 1024
"""Of their texts, all together; what they compile to takes about as many times ten in bytes."""


class Grammars:
    """`tokenizer` is called once, when the first grammar is asked for or by `warm_up`."""

    def __init__(self, tokenizer: Callable[[], LLTokenizer], vocabulary: int) -> None:
        """`vocabulary`: width of the logits."""
        self._make_tokenizer = tokenizer
        self._vocabulary = vocabulary
        self._tokenizer: LLTokenizer | None = None
        self._kept: OrderedDict[Constraint, Matcher] = OrderedDict()
        self._kept_characters = 0
        self._lock = threading.Lock()
        self._tokenizer_lock = threading.Lock()
        self.compiled = 0
        self.compile_seconds = 0.0
        self.compile_times = CompileTimes()

    def warm_up(self) -> None:
        """Reads the vocabulary on a thread of its own, so that no request waits for it."""
        threading.Thread(target=self._warm, name="grammar-warm-up", daemon=True).start()

    def _warm(self) -> None:
        with_refusal(lambda: self.matcher(Constraint("json", '{"type":"object"}')))

    def kept(self, constraint: Constraint) -> Matcher | None:
        """A copy of one that is compiled already."""
        with self._lock:
            found = self._kept.get(constraint)
            if found is None:
                return None
            if found.is_worn:
                self._drop(constraint)
                return None
            self._kept.move_to_end(constraint)
            return found.copy()

    def matcher(self, constraint: Constraint) -> Matcher:
        """For the beginning of an answer, its first mask computed. Raises `Refused`."""
        return self.kept(constraint) or self._compiled(constraint).copy()

    def _compiled(self, constraint: Constraint) -> Matcher:
        tokenizer = self._tokenizer_once()
        start = perf_counter()
        matcher = self._compile(constraint, tokenizer)
        seconds = perf_counter() - start
        with self._lock:
            self.compiled += 1
            self.compile_seconds += seconds
            self.compile_times.add(seconds)
            if constraint not in self._kept:
                self._kept[constraint] = matcher
                self._kept_characters += len(constraint.text)
            while self._kept_characters > KEPT_CHARACTERS_MAX or len(self._kept) > KEPT_MAX:
                self._drop(next(iter(self._kept)))
        return matcher

    def _drop(self, constraint: Constraint) -> None:
        del self._kept[constraint]
        self._kept_characters -= len(constraint.text)

    def _compile(self, constraint: Constraint, tokenizer: LLTokenizer) -> Matcher:
        from llguidance import LLMatcher

        grammar = grammar_of(constraint)
        compiled = LLMatcher(tokenizer, grammar, log_level=SILENT, limits=parser_limits())
        if compiled.is_error():
            raise refused(compiled.get_error())
        matcher = Matcher(compiled, self._vocabulary)
        matcher.mask()
        if matcher.error is not None:
            raise refused(matcher.error)
        return matcher

    def _tokenizer_once(self) -> LLTokenizer:
        with self._tokenizer_lock:
            if self._tokenizer is None:
                try:
                    self._tokenizer = self._make_tokenizer()
                except Exception as error:
                    # Whatever the library finds in a tokenizer's files that it can't read.
                    said = f"{type(error).__name__}: {str(error)[:ERROR_CHARACTERS_MAX]}"
                    reason = f"{FIELD}: this model's vocabulary can't be constrained ({said})"
                    raise Refused("invalid_request", FIELD, reason) from error
            return self._tokenizer


FIELD: Final = "constraint"
"""The server knows what its client called it."""


def grammar_of(constraint: Constraint) -> str:
    """As llguidance takes it. Raises `Refused`."""
    from llguidance import LLMatcher

    kind, text = constraint.kind, constraint.text
    try:
        if kind == "json":
            return LLMatcher.grammar_from_json_schema(text, overrides=JSON_OPTIONS)
        if kind == "regex":
            return LLMatcher.grammar_from_regex(text)
        if kind == "choice":
            return LLMatcher.grammar_from_lark(choice_grammar(json.loads(text)))
        return LLMatcher.grammar_from_lark(lark_of(text))
    except Exception as error:
        # Readers of the library's own raise whatever comes to them.
        raise refused(str(error)) from error


def lark_of(text: str) -> str:
    """Grammars in the way of GBNF, with `::=`, are taken too."""
    if "::=" not in text:
        return text
    from llguidance.gbnf_to_lark import gbnf_to_lark

    return str(gbnf_to_lark(text))


def choice_grammar(choices: list[Any]) -> str:
    return "start: " + " | ".join(json.dumps(choice) for choice in choices)


def refused(reason: str) -> Refused:
    said = " ".join(reason.replace("<non-verbose/>", "").split())[:ERROR_CHARACTERS_MAX]
    return Refused("invalid_request", FIELD, f"{FIELD} can't be compiled: {said}")


def with_refusal(call: Callable[[], object]) -> Refused | None:
    try:
        call()
    except Refused as refusal:
        return refusal
    return None
