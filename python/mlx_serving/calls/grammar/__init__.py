"""Grammars for llguidance that let a model write calls of the offered tools and nothing else. Text
alone: nothing here imports llguidance.
"""

from __future__ import annotations

from .answers import answer_of
from .calls import (
    AUTO,
    REQUIRED,
    CallGrammar,
    Choice,
    Named,
    Thinking,
    answer_grammar,
    call_grammar,
)

__all__ = [
    "AUTO",
    "REQUIRED",
    "CallGrammar",
    "Choice",
    "Named",
    "Thinking",
    "answer_grammar",
    "answer_of",
    "call_grammar",
]
