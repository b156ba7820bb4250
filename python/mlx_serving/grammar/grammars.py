"""Grammars of one model, compiled: those in use lately are kept, and each request gets a copy.

May be called from several threads. Compiling takes milliseconds, a bad grammar up to what the
limits allow; llguidance lets other threads run meanwhile.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, Protocol, assert_never

from ..failures import Refused
from ..messages import Constraint
from .compile_times import CompileTimes
from .lazy import LazyMatcher, Watch
from .limits import JSON_OPTIONS, SILENT, parser_limits
from .matcher import ERROR_CHARACTERS_MAX, WORD_BITS, WORD_BYTES, Matcher

if TYPE_CHECKING:
    from llguidance import LLTokenizer

KEPT_MAX: Final = 256
"""Grammars of one model."""
KEPT_CHARACTERS_MAX: Final = 8 * 1024 * 1024
"""Of their texts, all together; what they compile to takes about as many times ten in bytes."""


@dataclass(frozen=True, slots=True)
class Written:
    """A grammar in Lark's way. `waits`: for its beginning, which a watch sees. `tools`: how many
    it has calls of."""

    lark: str
    waits: bool = False
    tools: int = 0


class Turn(Protocol):
    """What a whole turn is kept to; equal ones have one grammar."""

    def __hash__(self) -> int: ...

    @property
    def characters(self) -> int:
        """Of all texts in it."""
        ...

    @property
    def is_optional(self) -> bool:
        """Whether the turn may be free where the vocabulary can't be constrained."""
        ...

    def written(self, is_control: Callable[[int], bool]) -> Written:
        """`is_control`: whether a token is none of a text. Raises `Refused`."""
        ...

    def watch(self) -> Watch:
        """For one that waits."""
        ...

    def blamed(self, compiles: Callable[[Turn], bool], refusal: Refused) -> Refused:
        """The refusal of the whole as one of the part that is to blame for it."""
        ...


Wish = Constraint | Turn


@dataclass(frozen=True, slots=True)
class Compiled:
    matcher: Matcher
    waits: bool

    def begun(self, wish: Wish, beside: bytes) -> Matcher:
        """For the beginning of an answer."""
        if not self.waits or isinstance(wish, Constraint):
            return self.matcher.copy()
        return LazyMatcher(self.matcher, wish.watch(), beside)


class Unconstrainable(Refused):
    """A vocabulary that no grammar can be followed in."""


class Grammars:
    """`tokenizer` is called once, when the first grammar is asked for or by `read_ahead`."""

    def __init__(
        self,
        tokenizer: Callable[[], LLTokenizer],
        vocabulary: int,
        *,
        wants_reading_ahead: bool = False,
    ) -> None:
        """`vocabulary`: width of the logits. `wants_reading_ahead`: what `tokenizer` does takes
        long, and no other thread runs meanwhile."""
        self._make_tokenizer = tokenizer
        self.wants_reading_ahead = wants_reading_ahead
        """It has not been tried yet."""
        self._vocabulary = vocabulary
        self._tokenizer: LLTokenizer | None = None
        self._control: frozenset[int] = frozenset()
        self._beside = b""
        self._kept: OrderedDict[Wish, Compiled] = OrderedDict()
        self._kept_characters = 0
        self._lock = threading.Lock()
        self._tokenizer_lock = threading.Lock()
        self.compiled = 0
        self.compile_seconds = 0.0
        self.compile_times = CompileTimes()

    def read_ahead(self) -> None:
        """Reads the vocabulary, so that no request waits for it."""
        with_refusal(self._tokenizer_once)

    def read_ahead_beside(self) -> None:
        """The same on a thread of its own, for a time in which Python has little to do."""
        threading.Thread(target=self.read_ahead, name="grammar-vocabulary", daemon=True).start()

    def kept(self, wish: Wish) -> Matcher | None:
        """A copy of one that is compiled already."""
        with self._lock:
            found = self._kept.get(wish)
            if found is None:
                return None
            if found.matcher.is_worn:
                self._drop(wish)
                return None
            self._kept.move_to_end(wish)
            return found.begun(wish, self._beside)

    def matcher(self, wish: Wish) -> Matcher:
        """For the beginning of an answer, its first mask computed. Raises `Refused`."""
        return self.kept(wish) or self._compiled(wish).begun(wish, self._beside)

    def _compiled(self, wish: Wish) -> Compiled:
        tokenizer = self._tokenizer_once()
        start = perf_counter()
        compiled = self._compile(wish, tokenizer)
        seconds = perf_counter() - start
        with self._lock:
            self.compiled += 1
            self.compile_seconds += seconds
            self.compile_times.add(seconds)
            if wish not in self._kept:
                self._kept[wish] = compiled
                self._kept_characters += characters_of(wish)
            while self._kept_characters > KEPT_CHARACTERS_MAX or len(self._kept) > KEPT_MAX:
                self._drop(next(iter(self._kept)))
        return compiled

    def _drop(self, wish: Wish) -> None:
        del self._kept[wish]
        self._kept_characters -= characters_of(wish)

    def _compile(self, wish: Wish, tokenizer: LLTokenizer) -> Compiled:
        if isinstance(wish, Constraint):
            return Compiled(self._made(grammar_of(wish), tokenizer), False)

        def compiles(part: Turn) -> bool:
            return with_refusal(lambda: self._turn(part, tokenizer)) is None

        try:
            return self._turn(wish, tokenizer)
        except Refused as refusal:
            raise wish.blamed(compiles, refusal) from refusal

    def _turn(self, turn: Turn, tokenizer: LLTokenizer) -> Compiled:
        written = turn.written(self._control.__contains__)
        matcher = self._made(grammar_of_lark(written.lark), tokenizer, written.tools)
        return Compiled(matcher, written.waits)

    def _made(self, grammar: str, tokenizer: LLTokenizer, tools: int = 0) -> Matcher:
        from llguidance import LLMatcher

        limits = parser_limits(tools)
        compiled = LLMatcher(tokenizer, grammar, log_level=SILENT, limits=limits)
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
                self.wants_reading_ahead = False
                try:
                    self._tokenizer = self._make_tokenizer()
                except Exception as error:
                    # Whatever the library finds in a tokenizer's files that it can't read.
                    said = f"{type(error).__name__}: {str(error)[:ERROR_CHARACTERS_MAX]}"
                    reason = f"{FIELD}: this model's vocabulary can't be constrained ({said})"
                    raise Unconstrainable("invalid_request", FIELD, reason) from error
                self._learn_control(self._tokenizer)
            return self._tokenizer

    def _learn_control(self, tokenizer: LLTokenizer) -> None:
        all_tokens = range(tokenizer.vocab_size)
        self._control = frozenset(filter(tokenizer.is_special_token, all_tokens))
        words = (self._vocabulary + WORD_BITS - 1) // WORD_BITS
        bits = sum(1 << token for token in {*self._control, *tokenizer.eos_tokens})
        self._beside = bits.to_bytes(
            max(words * WORD_BYTES, (bits.bit_length() + 7) // 8), "little"
        )


FIELD: Final = "constraint"
"""The server knows what its client called it."""


def grammar_of(constraint: Constraint) -> str:
    """As llguidance takes it. Raises `Refused`."""
    from llguidance import LLMatcher

    kind, text = constraint.kind, constraint.text
    try:
        match kind:
            case "json":
                return LLMatcher.grammar_from_json_schema(text, overrides=JSON_OPTIONS)
            case "regex":
                return LLMatcher.grammar_from_regex(text)
            case "choice":
                return LLMatcher.grammar_from_lark(choice_grammar(json.loads(text)))
            case "lark":
                return LLMatcher.grammar_from_lark(lark_of(text))
            case _:
                assert_never(kind)
    except Exception as error:
        # Readers of the library's own raise whatever comes to them.
        raise refused(str(error)) from error


def grammar_of_lark(text: str) -> str:
    from llguidance import LLMatcher

    return LLMatcher.grammar_from_lark(text)


def characters_of(wish: Wish) -> int:
    return len(wish.text) if isinstance(wish, Constraint) else wish.characters


def lark_of(text: str) -> str:
    """Grammars in the way of GBNF, with `::=`, are taken too."""
    if "::=" not in text:
        return text
    from llguidance.gbnf_to_lark import gbnf_to_lark

    return str(gbnf_to_lark(text))


def choice_grammar(choices: list[Any]) -> str:
    return "start: " + " | ".join(json.dumps(choice) for choice in choices)


# The library's words for a grammar that no text can ever fit, such as a rule of itself alone.
ENDLESS: Final = "NoExtensionBias"


def refused(reason: str) -> Refused:
    if reason == ENDLESS:
        reason = "no text ever fits it; a rule may lead to nothing but itself"
    said = " ".join(reason.replace("<non-verbose/>", "").split())[:ERROR_CHARACTERS_MAX]
    return Refused("invalid_request", FIELD, f"{FIELD} can't be compiled: {said}")


def with_refusal(call: Callable[[], object]) -> Refused | None:
    try:
        call()
    except Refused as refusal:
        return refusal
    return None
