"""Which native parts this process is to use. Whether a part is installed, its loader says.

MLX_SERVING_NATIVE: `auto` (the default) uses those parts that are installed and were measured to be
worth it, `on` or `1` uses all parts and makes the absence of one an error, `off` or `0` none.
MLX_SERVING_NATIVE_PARTS, names separated by commas or `all`, says which parts this is about.
"""

from __future__ import annotations

import os
from typing import Final, Literal, get_args

from ..messages import NativePart

VARIABLE: Final = "MLX_SERVING_NATIVE"
PARTS_VARIABLE: Final = "MLX_SERVING_NATIVE_PARTS"

Mode = Literal["auto", "on", "off"]
MODES: Final[dict[str, Mode]] = {
    "": "auto",
    "auto": "auto",
    "on": "on",
    "1": "on",
    "off": "off",
    "0": "off",
}

PARTS: Final[tuple[NativePart, ...]] = get_args(NativePart)
ALL: Final = "all"
ON_GPU: Final = "MLX computes on the GPU here"
WITHOUT_BLOCKS: Final = "nothing to do without blocks"
# The verdicts of `npm run bench:native`; docs/decisions says why.
DEFAULT_PARTS: Final[frozenset[NativePart]] = frozenset(
    ("blas", "products", "blocks", "attention", "sampling", "kernels")
)


def asked_mode() -> Mode | None:
    """What the environment asks for; None if that is no mode."""
    return MODES.get(os.environ.get(VARIABLE, "").strip().lower())


def asked_parts() -> frozenset[NativePart] | None:
    """The parts that the environment asks for; None if it names one that is none."""
    asked = os.environ.get(PARTS_VARIABLE, "").strip().lower()
    if not asked and asked_mode() != "on":
        return DEFAULT_PARTS
    if asked in ("", ALL):
        return frozenset(PARTS)
    names = {name.strip() for name in asked.split(",")}
    found = frozenset(part for part in PARTS if part in names)
    return found if len(found) == len(names) else None


def why_off(mode: Mode | None) -> str | None:
    """Why this mode uses no part at all, one line; None if it may use some."""
    if mode is None:
        return f"{VARIABLE} must be auto, on, off, 1 or 0, not {os.environ.get(VARIABLE)!r}"
    return f"turned off by --native or {VARIABLE}" if mode == "off" else None


def why_unwanted(*parts: NativePart) -> str | None:
    """Why none of these parts is to be used, one line; None if one is."""
    mode, wanted = asked_mode(), asked_parts()
    named = os.environ.get(PARTS_VARIABLE)
    if mode is None:
        return why_off(mode)
    if wanted is None:
        return f"{PARTS_VARIABLE} must name some of {', '.join(PARTS)}, or {ALL}, not {named!r}"
    if mode == "off":
        return why_off(mode)
    if wanted.isdisjoint(parts):
        return "not among --native-parts" if named else "off by default: it gains too little"
    return None


def is_wanted(part: NativePart) -> bool:
    return why_unwanted(part) is None


def is_required() -> bool:
    """Whether the absence of a wanted part is an error; so is a variable that means nothing."""
    return asked_mode() in ("on", None) or asked_parts() is None
