from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

import pytest
from mlx_serving.failures import Refused
from mlx_serving.grammar.grammars import FIELD, Grammars
from mlx_serving.grammar.matcher import Matcher
from mlx_serving.grammar.vocabulary import of_pieces
from mlx_serving.link import compiler as module
from mlx_serving.link.compiler import GrammarCompiler
from mlx_serving.messages import Constraint

WORD = Constraint("regex", "abc")
END = 256


def new_grammars() -> Grammars:
    pieces = [bytes((byte,)) for byte in range(END)]
    return Grammars(lambda: of_pieces([*pieces, b""], END), END + 1)


class Asked:
    """A grammar thread, and on which thread it answers."""

    def __init__(
        self, grammars: Grammars | None, is_idle: Callable[[], bool] = lambda: False
    ) -> None:
        self.said: SimpleQueue[tuple[str, Any]] = SimpleQueue()
        self._compiler = GrammarCompiler(
            grammars, lambda error: self.said.put(("crash", error)), is_idle
        )

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


class SlowVocabulary:
    """Of grammars that want it read ahead, and on which thread it was read."""

    def __init__(self) -> None:
        self.read_on: SimpleQueue[str] = SimpleQueue()
        self.grammars = Grammars(self._read, END + 1, wants_reading_ahead=True)

    def _read(self) -> Any:
        self.read_on.put(threading.current_thread().name)
        return of_pieces([*(bytes((byte,)) for byte in range(END)), b""], END)


class Idleness:
    """Whether a request is there, and how often that was asked."""

    def __init__(self) -> None:
        self.is_idle = False
        self._asked = threading.Semaphore(0)

    def __call__(self) -> bool:
        self._asked.release()
        return self.is_idle

    def wait_until_asked(self, times: int) -> None:
        for _ in range(times):
            assert self._asked.acquire(timeout=60)


def test_a_vocabulary_is_read_ahead_when_no_request_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "QUIET_SECONDS", 0.01)
    slow, idleness = SlowVocabulary(), Idleness()
    asked = Asked(slow.grammars, idleness)
    idleness.wait_until_asked(3)
    # An ordinary request is on its way: it is not held up.
    with pytest.raises(Empty):
        slow.read_on.get_nowait()
    idleness.is_idle = True
    assert slow.read_on.get(timeout=60) == "grammar"
    assert isinstance(asked.start(WORD)[1], Matcher)
    assert slow.read_on.empty()


def test_the_first_grammar_reads_the_vocabulary_if_nothing_has() -> None:
    slow = SlowVocabulary()
    asked = Asked(slow.grammars)
    assert isinstance(asked.start(WORD)[1], Matcher)
    assert slow.read_on.get_nowait() == "grammar"
    assert isinstance(asked.start(Constraint("regex", "xyz"))[1], Matcher)
    assert slow.read_on.empty()


def test_without_grammars_it_is_refused() -> None:
    _, refusal = Asked(None).start(WORD)
    assert isinstance(refusal, Refused) and (refusal.code, refusal.field) == (
        "invalid_request",
        FIELD,
    )
