"""Derives the format of calls from what a template writes of one call and of two.

Where both names and their arguments stand is known; the rest is told apart by comparing what is the
same before the first call and before the second, after the first and after the last.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any, Final, NamedTuple

from . import families
from .format import (
    ID,
    INDEX_FROM_0,
    INDEX_FROM_1,
    JSON_TYPES,
    KEY,
    CallFormat,
    FormatUnknown,
    JsonArguments,
    JsonObject,
    JsonType,
    Pythonic,
    Spacing,
    Style,
    Tagged,
)
from .literals import shared_end, shared_start
from .probes import ARGUMENTS, IDS, NAMES, SAID, calling, saying, turn
from .readers.enclosed import value_end
from .template import Template
from .values import type_of

# Marks that end a turn with calls and no other, so that comparing can't tell.
CALL_ENDS: Final = frozenset({"<|eom_id|>", "<|calls|>", "<|call|>", "<|tool_response>"})
_NAME_MEMBER: Final = re.compile(r'\{[^{}]*?"(\w+)"\s*:\s*"$', re.S)
_ARGUMENTS_MEMBER: Final = re.compile(r'^"\s*,\s*"(\w+)"\s*:\s*$')
_MARK_ALONE: Final = re.compile(r"\s*(<[^<>\s]*>|\[[^\s\[]{1,8}\[)")
_MARK: Final = re.compile(r"\s*(<[^<>\s]*>|\[[A-Z_]+\]|[^\s{]+)")


def derive_format(template: Template) -> CallFormat:
    """The table of families first, then what the template writes; a generic format for a template
    that writes no calls. Raises `FormatUnknown`."""
    known = families.known(template.source)
    if known is not None:
        return known
    derived = derived_format(template)
    if derived is None:
        return families.GENERIC
    return families.adjusted(derived, template.source)


class _Call(NamedTuple):
    """Where one call's name and arguments stand, and the style of these."""

    name: int
    between: str
    begin: int
    end: int
    style: Style
    spacing: Spacing


def derived_format(template: Template) -> CallFormat | None:
    """None where the template writes no calls at all."""
    said = turn(template, saying()) or ""
    for as_text in (False, True):
        for content in ("", None):
            two = turn(template, calling(2, as_text, content))
            one = turn(template, calling(1, as_text, content))
            if one is None or NAMES[0] not in one:
                continue
            single = two is None or NAMES[1] not in two
            found = _compare(one if single or two is None else two, said, template, single)
            if found is not None:
                return found
    return None


def _compare(text: str, said: str, template: Template, single: bool) -> CallFormat | None:
    for number, id in enumerate(IDS):
        # An identifier is a slot: a model makes its own.
        text = text.replace(id, ID if number < 2 else id)
    calls = [_locate(text, index) for index in range(1 if single else 2)]
    first, last = calls[0], calls[-1]
    if first is None or last is None:
        return None
    head = _shared_head(text[: first.name], said.partition(SAID)[0])
    before, tail = text[len(head) : first.name], text[last.end :]
    middle = "" if single else text[first.end : last.name]
    tail = _without_turn_end(tail, middle, said.partition(SAID)[2], template)
    if single:
        opened, separator, after, close = "", "", tail, ""
    else:
        after = _to_mark_begin(shared_start([middle, tail]), middle)
        again, close = middle[len(after) :], tail[len(after) :]
        before_first = before
        before = _shared_end(before_first, again)
        opened = before_first[: len(before_first) - len(before)]
        separator = again[: len(again) - len(before)]
        before, after, between = _slots(before, after, first.between, last.between)
        first = first._replace(between=between)
    if not opened:
        # Spaces before the first call are what the template puts after empty content.
        lead = before[: len(before) - len(before.lstrip())]
        before = before.lstrip()
        separator += "" if single else lead
    if not close:
        # Spaces after a call are part of it only where another one follows.
        trail = after[len(after.rstrip()) :]
        after = after.rstrip()
        separator = trail + separator if not single else ""
    opened, close = opened.lstrip(), close.rstrip()
    style = _style(first.style, before, first.between)
    begin = _begin_mark(opened + before)
    return CallFormat(
        family=_family(style),
        style=style,
        before=before,
        between=first.between,
        after=after,
        open=opened,
        separator=separator,
        close=close,
        begin=begin,
        short_begin=_short_begin(style, before, begin) if not opened else "",
        spacing=first.spacing,
        source="derived",
        single=single,
    )


def _family(style: Style) -> str:
    match style:
        case JsonObject():
            return "JSON object"
        case JsonArguments():
            return "name, then JSON"
        case Tagged():
            return "tagged arguments"
        case Pythonic():
            return "Pythonic"
    return "braced"


# --- where a call stands ---


def _locate(text: str, index: int) -> _Call | None:
    name = text.find(NAMES[index])
    if name < 0:
        return None
    end = name + len(NAMES[index])
    if text.startswith("(", end):
        closed = value_end(text, end + 1, ("'", '"'))
        while 0 <= closed < len(text) and text[closed] == ",":
            closed = value_end(text, closed + 1, ("'", '"'))
        return _Call(name, "(", end + 1, closed, Pythonic(), "spaced") if closed > 0 else None
    return _json_arguments(text, name, end, index) or _tagged(text, name, end, index)


def _json_arguments(text: str, name: int, end: int, index: int) -> _Call | None:
    wanted = ARGUMENTS[index]
    at = text.find("{", end)
    while at >= 0:
        try:
            value, stop = json.JSONDecoder().raw_decode(text, at)
        except ValueError:
            value, stop = None, at
        if value == wanted:
            return _Call(
                name, text[end:at], at, stop, JsonArguments(), _spacing(text[at:stop], wanted)
            )
        at = text.find("{", at + 1)
    return None


def _spacing(text: str, value: Any) -> Spacing:
    if text == json.dumps(value):
        return "spaced"
    return "compact" if text == json.dumps(value, separators=(",", ":")) else "any"


class _Argument(NamedTuple):
    key: int
    mid: str
    end: int


def _tagged(text: str, name: int, end: int, index: int) -> _Call | None:
    """Arguments with marks around each, told apart as calls are."""
    found: dict[str, _Argument] = {}
    at = end
    for key, value in ARGUMENTS[index].items():
        begin = text.find(key, at)
        stop = begin + len(key)
        place = min(
            (p for p in (text.find(w, stop) for w in _written(value)) if p >= 0), default=-1
        )
        if begin < 0 or place < 0:
            return None
        written = next(w for w in _written(value) if text.startswith(w, place))
        found[key] = _Argument(begin, text[stop:place], place + len(written))
        at = place + len(written)
    items = list(found.values())
    before_first = text[end : items[0].key]
    between_two = text[items[-2].end : items[-1].key] if len(items) > 1 else ""
    opened = _to_first_mark(shared_end(before_first, between_two))
    closing = between_two[: -len(opened)] if opened else between_two
    tail = text[at:]
    close = _to_mark_begin(shared_start([closing, tail]), closing)
    mids = _mids(found, index)
    closes: dict[JsonType, str] = dict.fromkeys(JSON_TYPES, close)
    style = Tagged(opened, mids, closes, closing[len(close) :])
    between = before_first[: -len(opened)] if opened else before_first
    return _Call(name, between, end, at + len(close), style, "spaced")


def _written(value: Any) -> list[str]:
    """As JSON and as Python writes it."""
    if isinstance(value, str):
        return [value]
    return list(dict.fromkeys([json.dumps(value), str(value), json.dumps(value, indent=2)]))


def _mids(found: dict[str, _Argument], index: int) -> dict[JsonType, str]:
    by_type = {type_of(ARGUMENTS[index][key]): item.mid for key, item in found.items()}
    default = by_type.get("integer", by_type["string"])
    return {kind: by_type.get(kind, default) for kind in JSON_TYPES}


# --- comparing ---


def _shared_head(text: str, other: str) -> str:
    """What a turn with calls begins with as one without does."""
    return _to_mark_begin(shared_start([text, other]), text)


def _to_mark_begin(shared: str, whole: str) -> str:
    """Without the beginning of a mark whose rest differs."""
    opened = shared.rfind("<")
    if opened > shared.rfind(">") and len(shared) < len(whole):
        return shared[:opened]
    return shared


def _to_first_mark(shared: str) -> str:
    """From the first mark on that is there as a whole."""
    at = shared.find("<")
    return shared[at:] if at >= 0 else shared.lstrip()


def _shared_end(first: str, again: str) -> str:
    """The end that both have, where a number may count the calls."""
    count = 0
    while count < min(len(first), len(again)):
        pair = (first[-1 - count], again[-1 - count])
        if pair[0] != pair[1] and pair not in (("0", "1"), ("1", "2")):
            break
        count += 1
    begin = len(first) - count
    if first.rfind("<", 0, begin) > first.rfind(">", 0, begin):
        # The end of a mark that begins before is no part of it.
        begin = first.find(">", begin) + 1 or begin
    return first[begin:]


def _slots(before: str, after: str, first: str, last: str) -> tuple[str, str, str]:
    """With slots where a number counts the calls."""
    if first != last and len(first) == len(last):
        pairs = [(i, a, b) for i, (a, b) in enumerate(zip(first, last, strict=True)) if a != b]
        if len(pairs) == 1 and pairs[0][1:] in (("0", "1"), ("1", "2")):
            i, digit, _ = pairs[0]
            slot = INDEX_FROM_0 if digit == "0" else INDEX_FROM_1
            first = first[:i] + slot + first[i + 1 :]
    before = re.sub(r'(?<=")0(?=")', INDEX_FROM_0, before)
    return before, after, first


def _without_turn_end(tail: str, middle: str, said_end: str, template: Template) -> str:
    ends = template.end_marks | CALL_ENDS | _marks_after_turn(template)
    for mark in sorted(ends, key=len, reverse=True):
        if mark in tail and mark not in middle:
            tail = tail[: tail.index(mark)]
    shared = shared_end(tail, said_end)
    at = shared.find("<")
    if at >= 0:
        shared = shared[at:]
    elif shared.strip():
        return tail
    return tail[: -len(shared)] if shared else tail


def _marks_after_turn(template: Template) -> frozenset[str]:
    """The mark with which a template ends a turn that another one follows."""
    text = turn(template, saying(), {"role": "user", "content": "Next-q7x"}, with_tools=False)
    found = _MARK_ALONE.match((text or "").rpartition(SAID)[2])
    return frozenset() if found is None else frozenset({found[1]})


def _style(style: Style, before: str, between: str) -> Style:
    name, arguments = _NAME_MEMBER.search(before), _ARGUMENTS_MEMBER.match(between)
    if isinstance(style, JsonArguments) and name is not None and arguments is not None:
        return JsonObject(name[1], arguments[1])
    if isinstance(style, Tagged):
        return _with_key_slot(style)
    return style


def _with_key_slot(style: Tagged) -> Tagged:
    """A mark that closes an argument may repeat its name."""
    key = list(ARGUMENTS[0])[-2]
    closes = {kind: text.replace(key, KEY) for kind, text in style.closes.items()}
    return replace(style, closes=closes)


def _short_begin(style: Style, before: str, begin: str) -> str:
    """Where two marks begin a call, models are known to leave out the first one."""
    rest = before[len(begin) :].strip()
    return rest if isinstance(style, Tagged) and rest.startswith("<") else ""


def _begin_mark(text: str) -> str:
    text = text.lstrip()
    if not text:
        raise FormatUnknown("calls begin with no mark, and names alone can't be told from content")
    if text[0] in "{[" and not re.match(r"\[[A-Z_]+\]", text):
        return ""
    found = _MARK.match(text)
    mark = found[1] if found else text
    # A mark that the tool's name is part of ends before it.
    return text if mark.startswith("<") and ">" not in mark else mark
