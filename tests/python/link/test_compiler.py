from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import Any

from mlx_serving.grammar.grammars import FIELD, Grammars
from mlx_serving.grammar.matcher import Matcher
from mlx_serving.grammar.vocabulary import of_pieces
from mlx_serving.link.compiler import GrammarCompiler
from mlx_serving.messages import Constraint, Refused

WORD = Constraint("regex", "abc")
END = 256


def new_grammars() -> Grammars:
    pieces = [bytes((byte,)) for byte in range(END)]
    return Grammars(lambda: of_pieces([*pieces, b""], END), END + 1)


class Asked:
    """A grammar thread, and on which thread it answers."""

    def __init__(self, grammars: Grammars | None) -> None:
        self.said: SimpleQueue[tuple[str, Any]] = SimpleQueue()
        self._compiler = GrammarCompiler(grammars, lambda error: self.said.put(("crash", error)))

    def start(self, constraint: Constraint, emitted: bytes = b"") -> tuple[str, Any]:
        def done(result: Matcher | Refused) -> None:
            self.said.put((threading.current_thread().name, result))

        self._compiler.start(constraint, list(emitted), done)
        return self.said.get(timeout=60)


def test_a_new_grammar_is_compiled_elsewhere_and_a_known_one_is_there_at_once() -> None:
    asked = Asked(new_grammars())
    assert asked.start(WORD)[0] == "grammar"
    thread, matcher = asked.start(WORD)
    assert thread == threading.current_thread().name
    assert isinstance(matcher, Matcher) and not matcher.done


def test_what_is_out_already_is_taken_through_the_grammar() -> None:
    asked = Asked(new_grammars())
    thread, half = asked.start(WORD, b"ab")
    assert thread == "grammar" and not half.done and half.error is None
    half.accept(b"c")
    assert half.done
    assert asked.start(WORD, b"abc")[1].done
    assert asked.start(WORD, b"x")[1].error


def test_what_cannot_be_compiled_refuses_that_request_alone() -> None:
    asked = Asked(new_grammars())
    _, refusal = asked.start(Constraint("regex", "("))
    assert isinstance(refusal, Refused) and refusal.field == FIELD
    assert isinstance(asked.start(WORD)[1], Matcher)


def test_a_panic_of_the_library_is_the_grammars_fault() -> None:
    class Panic(BaseException):
        pass

    def panic(_constraint: Constraint) -> Matcher:
        raise Panic("it holds a secret")

    grammars = new_grammars()
    grammars.matcher = panic  # type: ignore[method-assign]
    asked = Asked(grammars)
    for _ in range(2):
        _, refusal = asked.start(WORD)
        assert isinstance(refusal, Refused) and "secret" not in str(refusal)


def test_without_grammars_it_is_refused() -> None:
    _, refusal = Asked(None).start(WORD)
    assert isinstance(refusal, Refused) and (refusal.code, refusal.field) == (
        "invalid_request",
        FIELD,
    )
