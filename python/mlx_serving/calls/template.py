"""A chat template as the rest of this part sees it: a function from messages to text, and its
source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Message = dict[str, Any]


class Render(Protocol):
    def __call__(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] | None,
        arguments: Mapping[str, Any],
        generation_prompt: bool,
        /,
    ) -> str:
        """Raises what it likes when the template doesn't take them."""
        ...


@dataclass(frozen=True, slots=True)
class Template:
    """`end_marks`: texts of the tokens that end a turn."""

    source: str
    render: Render
    end_marks: frozenset[str] = frozenset()

    def try_render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] | None = None,
        arguments: Mapping[str, Any] | None = None,
        generation_prompt: bool = False,
    ) -> str | None:
        """None where the template doesn't take them. It may raise anything: it is a program that a
        model's makers wrote."""
        try:
            return self.render(messages, tools, arguments or {}, generation_prompt)
        except Exception:
            return None
