"""The grammar thread: compiles what answers are kept to, and takes them through what is out
already, so that no other thread waits for a grammar. One at a time: a bad one is in nobody's way
but the next new one's. A vocabulary that takes long is read when no request is there, or with the
first grammar.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Final

from ..failures import Refused
from ..grammar.grammars import FIELD, Grammars, Unconstrainable, Wish
from ..grammar.matcher import Matcher
from ..messages import Constraint, GrammarFigures

Done = Callable[[Matcher | Refused | None], None]
"""None: the answer is free after all."""
MILLISECONDS: Final = 1000.0
QUIET_SECONDS: Final = 1.0
"""Without a grammar asked for, before a vocabulary is read ahead: who starts a server often has a
request at hand."""
UNKNOWN: Final = f"{FIELD}: this engine keeps its answers to no grammar"


class GrammarCompiler:
    def __init__(
        self,
        grammars: Grammars | None,
        crashed: Callable[[BaseException], None],
        is_idle: Callable[[], bool],
    ) -> None:
        """`grammars`: None where the engine has none. `is_idle`: no request is there; it is called
        on the grammar thread."""
        self._grammars = grammars
        self._crashed = crashed
        self._is_idle = is_idle
        self._queue: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._refused = 0
        self._requests = 0
        self._masks = 0
        self._mask_ms = 0.0
        threading.Thread(target=self._run, name="grammar", daemon=True).start()

    def start(self, wish: Wish, emitted: Sequence[int], done: Done) -> None:
        """A matcher after these tokens, or why there is none: `done` gets it, at once where the
        grammar is known and nothing is out, else on this thread."""
        if self._grammars is None:
            done(_without(wish, Refused("invalid_request", FIELD, UNKNOWN)))
        elif not emitted and (kept := self._grammars.kept(wish)) is not None:
            done(kept)
        else:
            self._queue.put(lambda: done(self._made(wish, emitted)))

    def ended(self, matcher: Matcher) -> None:
        """Counts a request that had a grammar."""
        self._requests += 1
        self._masks += matcher.masks
        self._mask_ms += matcher.mask_seconds * MILLISECONDS

    def figures(self) -> GrammarFigures:
        grammars = self._grammars
        return {
            "requests": self._requests,
            "refused": self._refused,
            "compiled": grammars.compiled if grammars else 0,
            "compileMs": grammars.compile_seconds * MILLISECONDS if grammars else 0.0,
            "compileTimes": grammars.compile_times.counts() if grammars else [],
            "masks": self._masks,
            "maskMs": self._mask_ms,
        }

    def _made(self, wish: Wish, emitted: Sequence[int]) -> Matcher | Refused | None:
        assert self._grammars is not None
        try:
            matcher = self._grammars.matcher(wish)
        except Unconstrainable as refusal:
            return _without(wish, refusal)
        except Refused as refusal:
            self._refused += 1
            return refusal
        except BaseException as error:
            # A Rust panic is no Exception: the grammar is to blame, and it alone.
            reason = f"{FIELD} can't be compiled ({type(error).__name__})"
            return Refused("invalid_request", FIELD, reason)
        matcher.accept(emitted)
        return matcher

    def _run(self) -> None:
        try:
            while True:
                self._next()()
        except BaseException as error:
            self._crashed(error)

    def _next(self) -> Callable[[], None]:
        while self._grammars is not None and self._grammars.wants_reading_ahead:
            try:
                return self._queue.get(timeout=QUIET_SECONDS)
            except Empty:
                if self._is_idle():
                    self._grammars.read_ahead()
        return self._queue.get()


def _without(wish: Wish, refusal: Refused) -> Refused | None:
    """What becomes of a request where no grammar can be followed."""
    return None if not isinstance(wish, Constraint) and wish.is_optional else refusal
