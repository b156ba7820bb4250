"""Checks of what the orchestrator sends. A check takes a value and the path to it, and gives back
what it makes of the value, or raises `Misfit` with the path. `bodies.py` puts them together.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, TypeVar

from ..failures import Violation
from ..tokens import unpack_tokens

# What comes as JSON is not nested as deep.
DEPTH_MAX: Final = 256
# Of a client's key, in a message.
KEY_CHARACTERS_MAX: Final = 40

T = TypeVar("T")
Check = Callable[[object, str], T]


class Misfit(Violation):
    """`path`: where in its frame, or in its request; `what` is wrong with it."""

    def __init__(self, path: str, what: str) -> None:
        super().__init__(f"{path} {what}")
        self.path = path
        self.what = what


def at(path: str, key: str) -> str:
    """The path to a field. A list that is named as what holds it is not named twice."""
    if not path or path == key:
        return key
    return f"{path}.{key}"


# --- single values ---


def u32(value: object, path: str) -> int:
    if type(value) is not int or not 0 <= value <= 0xFFFF_FFFF:
        raise Misfit(path, "must be an integer from 0 to 4294967295")
    return value


def u64(value: object, path: str) -> int:
    if type(value) is not int or not 0 <= value < 1 << 64:
        raise Misfit(path, "must be an integer from 0 to 18446744073709551615")
    return value


def integer(low: int, high: int) -> Check[int]:
    def check(value: object, path: str) -> int:
        if type(value) is not int or not low <= value <= high:
            raise Misfit(path, f"must be an integer from {low} to {high}")
        return value

    return check


def finite(value: object, path: str) -> float:
    if type(value) not in (int, float):
        raise Misfit(path, "must be a number")
    number = float(value)  # type: ignore[arg-type]
    if number != number or number in (float("inf"), float("-inf")):
        raise Misfit(path, "must be finite")
    return number


def number(low: float, high: float) -> Check[float]:
    def check(value: object, path: str) -> float:
        found = finite(value, path)
        if not low <= found <= high:
            raise Misfit(path, f"must be from {low} to {high}")
        return found

    return check


def byte_count(value: object, path: str) -> int:
    number = finite(value, path)
    if number < 0:
        raise Misfit(path, "must not be negative")
    return int(number)


def boolean(value: object, path: str) -> bool:
    if type(value) is not bool:
        raise Misfit(path, "must be a boolean")
    return value


def string(value: object, path: str) -> str:
    if type(value) is not str:
        raise Misfit(path, "must be a string")
    if not _is_well_formed(value):
        raise Misfit(path, "is not valid UTF-8")
    return value


def _is_well_formed(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def one_of(*values: str | int) -> Check[Any]:
    """By type too: to Python True is 1, and 8.0 is 8."""
    names = ", ".join(map(str, values))

    def check(value: object, path: str) -> Any:
        if not any(type(value) is type(one) and value == one for one in values):
            raise Misfit(path, f"must be one of {names}")
        return value

    return check


def token_ids(value: object, path: str) -> list[int]:
    if type(value) is not bytes or len(value) % 4:
        raise Misfit(path, "must be token ids packed as u32")
    return unpack_tokens(value)


# --- what JSON can say ---


def json_map(value: object, path: str) -> dict[str, Any]:
    found: dict[str, Any] = _json_value(string_map(value, path), path)
    return found


def _json_value(value: object, path: str, depth: int = 0) -> Any:
    if type(value) is str:
        return string(value, path)
    if depth > DEPTH_MAX:
        raise Misfit(path, f"is nested deeper than {DEPTH_MAX} levels")
    if type(value) is list:
        for index, item in enumerate(value):
            _json_value(item, f"{path}[{index}]", depth + 1)
    elif type(value) is dict:
        for key, item in string_map(value, path).items():
            _json_value(item, f"{path}.{key[:KEY_CHARACTERS_MAX]}", depth + 1)
    elif value is not None and type(value) not in (bool, int, float):
        raise Misfit(path, "is of a type that JSON does not have")
    return value


def json_object_text(value: object, path: str) -> str:
    text = string(value, path)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if type(found) is not dict:
        raise Misfit(path, "must be a JSON object, as text")
    return text


# --- what holds others ---


def array(value: object, path: str) -> list[Any]:
    if type(value) is not list:
        raise Misfit(path, "must be a list")
    return value


def string_map(value: object, path: str) -> dict[str, Any]:
    if type(value) is not dict:
        raise Misfit(path, "must be a map")
    if not all(type(key) is str for key in value):
        raise Misfit(path, "must be a map with string keys")
    if not all(map(_is_well_formed, value)):
        raise Misfit(path, "has a key that is not valid UTF-8")
    return value


def list_of(check: Check[T]) -> Check[tuple[T, ...]]:
    def checked(value: object, path: str) -> tuple[T, ...]:
        items = enumerate(array(value, path))
        return tuple(check(item, f"{path}[{index}]") for index, item in items)

    return checked


def tuple_of(*checks: Check[Any]) -> Check[Any]:
    def checked(value: object, path: str) -> Any:
        items = array(value, path)
        if len(items) != len(checks):
            raise Misfit(path, f"must be a list of {len(checks)}")
        pairs = enumerate(zip(checks, items, strict=True))
        return tuple(check(item, f"{path}[{index}]") for index, (check, item) in pairs)

    return checked


def by_type(others: Check[Any], **checks: Check[Any]) -> Check[Any]:
    """`checks`: by the name of a type in Python."""

    def checked(value: object, path: str) -> Any:
        return checks.get(type(value).__name__, others)(value, path)

    return checked


@dataclasses.dataclass(frozen=True, slots=True)
class Optional(Generic[T]):
    """A field that may be absent, or null: its class has a default for it."""

    check: Check[T]


def optional(check: Check[T]) -> Optional[T]:
    return Optional(check)


class Record(Generic[T]):
    """A map with a check for every field of `type`, in their order."""

    def __init__(self, type: Callable[..., T], **checks: Check[Any] | Optional[Any]) -> None:
        fields: tuple[dataclasses.Field[Any], ...] = dataclasses.fields(type)  # type: ignore[arg-type]
        self._type = type
        self._fields = [
            (key, check.check, _default_of(field))
            if isinstance(check, Optional)
            else (key, check, None)
            for (key, check), field in zip(checks.items(), fields, strict=True)
        ]
        self._known = checks.keys()
        self._required = {key for key, _, default in self._fields if default is None}

    def __call__(self, value: object, path: str) -> T:
        if type(value) is not dict:
            raise Misfit(path, "must be a map")
        self._check_keys(value, path)
        inside = "" if path == REQUEST else path
        return self._type(
            *(
                default()
                if default is not None and value.get(key) is None
                else check(value[key], at(inside, key))
                for key, check, default in self._fields
            )
        )

    def _check_keys(self, value: dict[Any, Any], path: str) -> None:
        odd = (self._required - value.keys()) | (value.keys() - self._known)
        if odd:
            names = sorted(str(key)[:KEY_CHARACTERS_MAX] for key in odd)
            raise Misfit(path, f"has missing or unknown keys: {', '.join(names)}")


# The path of what a frame holds many of: its fields are named as if there were none around them.
REQUEST: Final = "request"


def _default_of(field: dataclasses.Field[Any]) -> Callable[[], Any]:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory
    default = field.default
    return lambda: default


class Tagged(Generic[T]):
    """A map whose `tag` says which of the `variants` it is."""

    def __init__(self, tag: str, variants: Mapping[str, Check[T]]) -> None:
        self._tag = tag
        self._variants = variants
        self._kind = one_of(*variants)

    def __call__(self, value: object, path: str) -> T:
        body = string_map(value, path)
        kind = self._kind(body.get(self._tag), at(path, self._tag))
        rest = {key: item for key, item in body.items() if key != self._tag}
        return self._variants[kind](rest, path)
