"""What an answer that is no call is kept to, as a rule of the turn's grammar."""

from __future__ import annotations

import json
import re
from typing import Final

from ...messages import Constraint
from .calls import Answer
from .lark import Lark

# After a backslash it is escaped already.
_SLASH: Final = re.compile(r"\\.|/", re.S)


def answer_of(constraint: Constraint) -> Answer:
    """A Lark grammar must have its own rules alone."""
    return lambda lark: _rule(lark, constraint)


def _rule(lark: Lark, constraint: Constraint) -> str:
    match constraint.kind:
        case "json":
            return lark.rule(lark.json_answer(json.loads(constraint.text)))
        case "regex":
            return lark.rule(f"/{_between_slashes(constraint.text)}/")
        case "choice":
            texts = json.loads(constraint.text)
            return lark.rule(" | ".join(json.dumps(text, ensure_ascii=False) for text in texts))
        case "lark":
            return lark.rule(f"%lark {{\n{constraint.text}\n}}")


def _between_slashes(pattern: str) -> str:
    escaped = _SLASH.sub(lambda hit: "\\/" if hit[0] == "/" else hit[0], pattern)
    return escaped.replace("\n", "\\n").replace("\r", "\\r")
