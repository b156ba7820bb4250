"""Messages of the system's between turns, for templates that take one at the beginning alone: each
becomes a part of a turn beside it. Knows no template.

What stands behind a message is never moved before it, and what it becomes depends on nothing that
comes after the next message: a prompt begins with the one of the turn before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

BETWEEN: Final = "\n\n"

Message = dict[str, Any]


def without_late_system(messages: Sequence[Message]) -> list[Message] | None:
    """None where there is none. Those at the beginning are one; one behind a turn of the user or a
    result of a tool is the end of that; any other the beginning of the user's next turn, or one."""
    if not any(_is_system(message) for message in messages[1:]):
        return None
    folded: list[Message] = []
    waiting = ""
    for message in messages:
        if _is_system(message):
            if not folded or (folded[-1]["role"] in ("system", "user", "tool") and not waiting):
                _add(folded, message)
            else:
                waiting = _joined(waiting, _text(message))
            continue
        if waiting and message.get("role") == "user":
            message = {**message, "content": _joined(waiting, _text(message))}
            waiting = ""
        elif waiting and message.get("role") == "assistant":
            folded.append({"role": "user", "content": waiting})
            waiting = ""
        folded.append(message)
    return [*folded, {"role": "user", "content": waiting}] if waiting else folded


def _add(folded: list[Message], message: Message) -> None:
    if not folded:
        folded.append({**message, "role": "system", "content": _text(message)})
    else:
        folded[-1] = {**folded[-1], "content": _joined(_text(folded[-1]), _text(message))}


def _is_system(message: Message) -> bool:
    return message.get("role") in ("system", "developer")


def _text(message: Message) -> str:
    """Content comes as a text, or as parts of one."""
    content = message.get("content") or ""
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content)


def _joined(before: str, after: str) -> str:
    return before + BETWEEN + after if before and after else before or after
