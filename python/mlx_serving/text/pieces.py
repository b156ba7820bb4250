"""Bytes of every token of a vocabulary, from what its tokenizer's decoder does.

A decoder is a list of steps. Those that treat every token by itself give pieces: byte-level
alphabets, `<0xE2>` for single bytes, a sign for the space, word pieces. For any other decoder there
are none. Knows no model and no library: it is handed the tokenizer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

BYTE_NAME: Final = re.compile(r"<0x[0-9A-Fa-f]{2}>")
ANCHOR: Final = "a"
"""A token before the one that is looked at: what begins a text may lose its space."""


@dataclass(frozen=True, slots=True)
class Pieces:
    """`bytes_of[token]` is empty for tokens without text. `strips_first_space`: the decoder takes
    the space off a text's beginning, which the tokenizer had put there."""

    bytes_of: list[bytes]
    strips_first_space: bool


@dataclass(frozen=True, slots=True)
class Rule:
    piece: Callable[[str], bytes]
    strips_first_space: bool


def pieces_of(tokenizer: Any, silent: frozenset[int]) -> Pieces | None:
    """None where tokens have no bytes of their own. Control tokens and those in `silent` have no
    text."""
    decoder = tokenizer.backend_tokenizer.decoder
    rule = None if decoder is None else rule_of(decoder)
    if rule is None:
        return None
    silent = silent | frozenset(tokenizer.all_special_ids)
    added = tokenizer.added_tokens_decoder
    names = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    pieces: list[bytes] = []
    for id, name in enumerate(names):
        token = added.get(id)
        if id in silent or name is None or (token is not None and token.special):
            pieces.append(b"")
        else:
            pieces.append(rule.piece(name) if token is None else token.content.encode())
    return Pieces(pieces, rule.strips_first_space)


def rule_of(decoder: Any) -> Rule | None:
    """How a decoder of the `tokenizers` library treats one token; None where that depends on
    others."""
    steps = _steps(json.loads(decoder.__getstate__()))
    kinds = [step["type"] for step in steps]
    if [kind for kind in kinds if kind != "Fuse"] == ["ByteLevel"]:
        return Rule(partial(byte_level_piece, alphabet=byte_level_alphabet()), False)
    if kinds == ["WordPiece"]:
        return Rule(partial(_decoded_piece, decoder), True)
    return _sentence_rule(steps)


def _steps(decoder: dict[str, Any]) -> list[dict[str, Any]]:
    if decoder["type"] != "Sequence":
        return [decoder]
    return [step for part in decoder["decoders"] for step in _steps(part)]


def _sentence_rule(steps: list[dict[str, Any]]) -> Rule | None:
    """Steps that replace characters, name bytes, and strip the whole text's first space."""
    replacements: list[tuple[str, str]] = []
    byte_names = fused = strips = False
    for step in steps:
        match step:
            case {"type": "Replace", "pattern": {"String": old}, "content": new}:
                if len(old) != 1 and fused:
                    return None
                replacements.append((old, new))
            case {"type": "Metaspace", "replacement": sign, "prepend_scheme": scheme}:
                replacements.append((sign, " "))
                strips = strips or scheme != "never"
            case {"type": "ByteFallback"}:
                byte_names = True
            case {"type": "Fuse"}:
                fused = True
            case {"type": "Strip", "content": " ", "start": 1, "stop": 0} if fused:
                strips = True
            case {"type": "Strip", "start": 0, "stop": 0}:
                pass
            case _:
                return None
    if not steps:
        return None
    piece = partial(sentence_piece, replacements=tuple(replacements), byte_names=byte_names)
    return Rule(piece, strips)


def byte_level_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-in for every byte."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    alphabet = {chr(byte): byte for byte in printable}
    alphabet.update({chr(256 + i): byte for i, byte in enumerate(others)})
    return alphabet


def byte_level_piece(name: str, alphabet: dict[str, int]) -> bytes:
    try:
        return bytes(alphabet[character] for character in name)
    except KeyError:
        return name.encode()


def sentence_piece(
    name: str,
    replacements: tuple[tuple[str, str], ...] = (("\u2581", " "),),
    byte_names: bool = True,
) -> bytes:
    if byte_names and BYTE_NAME.fullmatch(name):
        return bytes.fromhex(name[3:5])
    for old, new in replacements:
        name = name.replace(old, new)
    return name.encode()


def _decoded_piece(decoder: Any, name: str) -> bytes:
    return str(decoder.decode([ANCHOR, name]))[len(ANCHOR) :].encode()
