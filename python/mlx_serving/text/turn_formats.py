"""How a model writes its turns, derived of its chat template once, and of that what one request's
answer is read by. Knows no tokenizer: it is handed the template, and the names of tokens.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

from ..calls.format import CallFormat, FormatUnknown, ReasoningFormat
from ..calls.model_format import ModelFormat, derive_model_format, within
from ..calls.reasoning import derive_reasoning
from ..calls.template import Template
from ..failures import Refused
from ..messages import Admission
from ..tools import callable_tools
from .time_limit import within_seconds

# A call pattern that fits nothing.
NO_CALL: Final = r"(?!)"


@dataclass(frozen=True, slots=True)
class TurnFormat:
    """How one answer is read. `calls`: None where it may have none. `shown`: names of the tokens
    without text that its marks are made of. `closing`: the tokens that end reasoning; none where
    there is no reasoning, or no tokens are known to end it."""

    calls: CallFormat | None
    reasoning: ReasoningFormat | None
    shown: Mapping[int, str]
    closing: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Derived:
    """`model`: None where no format of calls is known; `why` says the reason then, in one line."""

    model: ModelFormat | None = None
    reasoning: ReasoningFormat | None = None
    why: str = ""


class TurnFormats:
    def __init__(
        self,
        template: Callable[[], Template | None],
        silent: Callable[[], Mapping[str, int]],
        seconds_max: Callable[[], float],
        closing: Callable[[str], tuple[int, ...]] = lambda _: (),
    ) -> None:
        """`template`: None of a model without one; `silent`: tokens without text by name;
        `seconds_max`: for all that is asked of the template; `closing`: a mark as tokens, none
        where these would not be read as it."""
        self._template = template
        self._silent = silent
        self._seconds_max = seconds_max
        self._closing_of = closing
        self._lock = threading.Lock()
        self._derived: Derived | None = None

    @property
    def derived(self) -> Derived:
        """Who asks first has it derived, which takes some eighty renderings."""
        with self._lock:
            if self._derived is None:
                self._derived = self._derive()
            return self._derived

    def of(self, request: Admission) -> TurnFormat | None:
        """None where the answer is plain text."""
        derived = self.derived
        calls = self._calls(bool(callable_tools(request.tools)))
        if calls is None and derived.reasoning is None:
            return None
        shown = self._shown_of_reasoning if calls is None else self._shown
        return TurnFormat(calls, derived.reasoning, shown, self.closing)

    def _calls(self, wanted: bool) -> CallFormat | None:
        model = self.derived.model
        if model is None:
            return None
        channels = model.calls.channels
        if wanted or channels is None:
            return model.calls if wanted else None
        # Content stands behind a header too.
        return replace(model.calls, channels=replace(channels, call_pattern=NO_CALL))

    def _derive(self) -> Derived:
        template = self._template()
        if template is None:
            return Derived(why="it has no chat template")
        try:
            return within_seconds(lambda: _derived(template), self._seconds_max())
        except Refused:
            return Derived(why="it takes too long")
        except Exception as error:
            # A template is a program that a model's makers wrote, and can be anything.
            return Derived(why=f"it cannot be read ({type(error).__name__})")

    @cached_property
    def closing(self) -> tuple[int, ...]:
        """What ends the model's reasoning; none where nothing can be said to."""
        reasoning = self.derived.reasoning
        return () if reasoning is None else self._closing_of(reasoning.end.strip())

    @cached_property
    def _shown(self) -> Mapping[int, str]:
        model = self.derived.model
        return {} if model is None else model.shown_tokens(self._silent())

    @cached_property
    def _shown_of_reasoning(self) -> Mapping[int, str]:
        reasoning, silent = self.derived.reasoning, self._silent()
        marks = () if reasoning is None else (reasoning.begin, reasoning.end)
        return {silent[name]: name for name in within(marks, silent)}


def _derived(template: Template) -> Derived:
    try:
        model = derive_model_format(template)
    except FormatUnknown as unknown:
        return Derived(reasoning=derive_reasoning(template), why=str(unknown))
    return Derived(model, model.reasoning)
