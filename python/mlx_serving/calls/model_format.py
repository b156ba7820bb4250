"""All that is derived of one chat template, once, when its model is loaded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from .derive import derive_format
from .format import CallFormat, ReasoningFormat
from .needs import TemplateNeeds, derive_needs
from .reasoning import derive_reasoning
from .template import Template


@dataclass(frozen=True)
class ModelFormat:
    calls: CallFormat
    needs: TemplateNeeds
    reasoning: ReasoningFormat | None

    @cached_property
    def marks(self) -> tuple[str, ...]:
        """Texts by which a turn is read. Any of them may be, or hold, control tokens."""
        marks = self.calls.marks
        if self.reasoning is not None:
            marks += (self.reasoning.begin, self.reasoning.end)
        return marks

    def shown_tokens(self, silent: Mapping[str, int]) -> dict[int, str]:
        """Of the tokens without text those that a parser must see by name. `silent`: such tokens
        by name."""
        return {silent[name]: name for name in within(self.marks, silent)}


def derive_model_format(template: Template) -> ModelFormat:
    """Raises `FormatUnknown`. Renders the template some eighty times."""
    calls = derive_format(template)
    return ModelFormat(calls, derive_needs(template, calls), derive_reasoning(template, calls))


def within(marks: Iterable[str], names: Iterable[str]) -> list[str]:
    """The names that stand in any of the marks, longer ones before what is part of them."""
    known = sorted((name for name in names if name), key=len, reverse=True)
    if not known:
        return []
    pattern = re.compile("|".join(map(re.escape, known)))
    return list(dict.fromkeys(name for mark in marks for name in pattern.findall(mark)))
