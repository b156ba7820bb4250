"""Checks of single values in what the orchestrator sends. Each gives the value back, or raises
`Misfit` with the path to it.
"""

from __future__ import annotations

from typing import Any, Final

from ..messages import Violation, unpack_tokens

# What comes as JSON is not nested as deep.
DEPTH_MAX: Final = 256
# Of a client's key, in a message.
KEY_CHARACTERS_MAX: Final = 40


class Misfit(Violation):
    """`path`: where in its frame, or in its request."""

    def __init__(self, path: str, what: str) -> None:
        super().__init__(f"{path} {what}")
        self.path = path


def u32(value: object, path: str) -> int:
    if type(value) is not int or not 0 <= value <= 0xFFFF_FFFF:
        raise Misfit(path, "must be an integer from 0 to 4294967295")
    return value


def u64(value: object, path: str) -> int:
    if type(value) is not int or not 0 <= value < 1 << 64:
        raise Misfit(path, "must be an integer from 0 to 18446744073709551615")
    return value


def finite(value: object, path: str) -> float:
    if type(value) not in (int, float):
        raise Misfit(path, "must be a number")
    number = float(value)  # type: ignore[arg-type]
    if number != number or number in (float("inf"), float("-inf")):
        raise Misfit(path, "must be finite")
    return number


def byte_count(value: object, path: str) -> int:
    number = finite(value, path)
    if number < 0:
        raise Misfit(path, "must not be negative")
    return int(number)


def share(value: object, path: str) -> float:
    number = finite(value, path)
    if not 0 <= number <= 1:
        raise Misfit(path, "must be from 0 to 1")
    return number


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


def json_value(value: object, path: str, depth: int = 0) -> Any:
    """What JSON can say, since templates expect nothing else."""
    if type(value) is str:
        return string(value, path)
    if depth > DEPTH_MAX:
        raise Misfit(path, f"is nested deeper than {DEPTH_MAX} levels")
    if type(value) is list:
        for index, item in enumerate(value):
            json_value(item, f"{path}[{index}]", depth + 1)
    elif type(value) is dict:
        for key, item in string_map(value, path).items():
            json_value(item, f"{path}.{key[:KEY_CHARACTERS_MAX]}", depth + 1)
    elif value is not None and type(value) not in (bool, int, float):
        raise Misfit(path, "is of a type that JSON does not have")
    return value


def boolean(value: object, path: str) -> bool:
    if type(value) is not bool:
        raise Misfit(path, "must be a boolean")
    return value


def token_ids(value: object, path: str) -> list[int]:
    if type(value) is not bytes or len(value) % 4:
        raise Misfit(path, "must be token ids packed as u32")
    return unpack_tokens(value)


def array(value: object, path: str) -> list[Any]:
    if type(value) is not list:
        raise Misfit(path, "must be a list")
    return value


def record(value: object, path: str, keys: frozenset[str]) -> dict[str, Any]:
    if type(value) is not dict:
        raise Misfit(path, "must be a map")
    if value.keys() != keys:
        odd = [str(key)[:KEY_CHARACTERS_MAX] for key in value.keys() ^ keys]
        raise Misfit(path, f"has missing or unknown keys: {', '.join(sorted(odd))}")
    return value


def string_map(value: object, path: str) -> dict[str, Any]:
    if type(value) is not dict or not all(type(key) is str for key in value):
        raise Misfit(path, "must be a map with string keys")
    if not all(map(_is_well_formed, value)):
        raise Misfit(path, "has a key that is not valid UTF-8")
    return value


def one_of(value: object, path: str, names: tuple[str, ...]) -> Any:
    if value not in names:
        raise Misfit(path, f"must be one of {', '.join(names)}")
    return value
