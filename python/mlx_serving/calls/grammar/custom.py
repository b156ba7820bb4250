"""The one text of a custom tool, by the client's own Lark grammar."""

from __future__ import annotations

from ..format import CUSTOM_INPUT, Tool, ToolRefused
from .escaped import Unescapable, escaped_lark
from .lark import Lark


def raw_input(lark: Lark, tool: Tool) -> str:
    """As it is."""
    assert tool.lark is not None
    return lark.rule(f"%lark {{\n{tool.lark}\n}}")


def json_input(lark: Lark, tool: Tool, bare: bool = False) -> str:
    """As a JSON string, in the object that has it or (`bare`) alone: the grammar is rewritten to
    give its text escaped."""
    assert tool.lark is not None
    try:
        inner = escaped_lark(tool.lark)
    except Unescapable as error:
        raise ToolRefused(tool.name, "/format/definition", str(error)) from None
    text = lark.rule(f"%lark {{\n{inner}\n}}")
    head = '"\\""' if bare else f'"{{\\"{CUSTOM_INPUT}\\": \\""'
    tail = '"\\""' if bare else '"\\"}"'
    return lark.rule(f"{head} {text} {tail}")
