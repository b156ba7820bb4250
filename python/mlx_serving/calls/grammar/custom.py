"""The one text of a custom tool, by the client's own Lark grammar."""

from __future__ import annotations

from ..format import CUSTOM_INPUT, Tool, ToolRefused
from .lark import Lark
from .patterns import Untranslatable, as_text, in_json
from .regular import pattern_of

PATH = "/format/definition"


def raw_input(lark: Lark, tool: Tool, close: str) -> str:
    """As it is, and the mark that closes it. Where rules come back to themselves, nothing keeps
    the text from holding the mark: it ends there."""
    assert tool.lark is not None
    try:
        return lark.until(close, [pattern_of(tool.lark, as_text)])
    except Untranslatable:
        return f"{lark.rule(f'%lark {{{chr(10)}{tool.lark}{chr(10)}}}')} {lark.literal(close)}"


def json_input(lark: Lark, tool: Tool, bare: bool = False) -> str:
    """As a JSON string, in the object that has it or (`bare`) alone. Raises `ToolRefused` where
    rules come back to themselves: a lexer can't tell the end of one text from an escape."""
    assert tool.lark is not None
    try:
        pattern = pattern_of(tool.lark, in_json)
    except Untranslatable as error:
        raise ToolRefused(tool.name, PATH, str(error)) from None
    head = '"' if bare else f'{{"{CUSTOM_INPUT}": "'
    tail = '"' if bare else '"}'
    text = lark.terminal(f"/{pattern}{tail.replace('}', chr(92) + '}')}/")
    return lark.rule(f"{lark.literal(head)} {text}")
