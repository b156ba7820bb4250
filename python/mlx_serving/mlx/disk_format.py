"""A block of the prompt cache as a file: a safetensors file whose every byte but its checksum is
known before it is read.

A block is named by a hash over what it was computed with (model, formats, salt) and all tokens up
to its end, block by block. A hash alone is never believed: the file holds the block's tokens, the
name of the block before it, and a checksum of all its data, and each is compared. A file that
differs in any of them is not this block's. Knows no folder and no MLX.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

# Another version of it makes other names and other heads, so files of both may lie side by side.
KV_FORMAT: Final = "mlx-serving.kv.1"
NAME_BYTES: Final = 16
# Of an array of keys, values, or of what stands for them.
TOKEN_AXIS: Final = 2
# Where the data begins, so that all its numbers lie as memory has them.
ALIGNMENT: Final = 64
# Stand in a head for what each file has of its own; nothing else in it looks like them.
NO_PARENT: Final = "X" * 2 * NAME_BYTES
NO_CHECKSUM: Final = "Z" * 8
WIDTHS: Final = {
    **dict.fromkeys(("BOOL", "U8", "I8"), 1),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 2),
    **dict.fromkeys(("U32", "I32", "F32"), 4),
    **dict.fromkeys(("U64", "I64", "F64"), 8),
}


@dataclass(frozen=True, slots=True)
class ArrayLayout:
    """Of one array of a block of one token: its type in the words of safetensors, and its shape."""

    dtype: str
    shape: tuple[int, ...]

    def of(self, tokens: int) -> tuple[int, ...]:
        return (*self.shape[:TOKEN_AXIS], tokens, *self.shape[TOKEN_AXIS + 1 :])

    def size_bytes(self, tokens: int) -> int:
        return WIDTHS[self.dtype] * math.prod(self.of(tokens))


Layout = tuple[tuple[ArrayLayout, ...] | None, ...]
"""One entry a layer: its arrays, or None of a layer that has nothing to keep."""


@dataclass(frozen=True, slots=True)
class BlockKey:
    """Which block it is: its tokens, packed, after those of another one or of a root."""

    name: bytes
    parent: bytes
    packed: bytes

    @property
    def tokens(self) -> int:
        return len(self.packed) // 4


class Unfit(Exception):
    """A file that is not the block that its name says. The text says why."""


class BlockFormat:
    """Of the blocks of one model in one format."""

    def __init__(self, identity: bytes, layout: Layout) -> None:
        """`identity`: stands for all that the numbers depend on but the tokens."""
        described = json.dumps([[*map(repr, layer)] if layer else None for layer in layout])
        self.identity = blake2b(
            KV_FORMAT.encode() + identity + described.encode(), digest_size=NAME_BYTES
        ).digest()
        self.layout = layout
        self._heads: dict[int, Head] = {}
        self._arrays = [
            (f"kv.{place}.{index}", array)
            for place, layer in enumerate(layout)
            for index, array in enumerate(layer or ())
        ]

    def root(self, salt: str) -> bytes:
        """What stands before the first block; nobody can tell the salt from it."""
        return blake2b(self.identity, key=_short(salt), digest_size=NAME_BYTES).digest()

    @staticmethod
    def key(parent: bytes, packed: bytes) -> BlockKey:
        name = blake2b(parent + packed, digest_size=NAME_BYTES).digest()
        return BlockKey(name, parent, packed)

    def arrays(self, tokens: int) -> list[tuple[str, tuple[int, ...], int]]:
        """In their order in a file: type, shape, and how many bytes they are."""
        return [(one.dtype, one.of(tokens), one.size_bytes(tokens)) for _, one in self._arrays]

    def size_bytes(self, tokens: int) -> int:
        """Of a whole file."""
        data = sum(size for *_, size in self.arrays(tokens)) + 4 * tokens
        return self._head_of(tokens).size_bytes + data

    def encode(self, key: BlockKey, arrays: Sequence[memoryview]) -> list[bytes | memoryview]:
        """The file in pieces. The arrays are bytes, as `arrays` lists them."""
        data: list[bytes | memoryview] = [*arrays, key.packed]
        return [self._head_of(key.tokens).filled(key.parent, checksum(data)), *data]

    def decode(self, key: BlockKey, file: memoryview) -> list[memoryview]:
        """The arrays of a file. Raises `Unfit`."""
        head = self._head_of(key.tokens)
        begin = head.size_bytes
        if len(file) != self.size_bytes(key.tokens):
            raise Unfit(f"it is of {len(file)} bytes, not {self.size_bytes(key.tokens)}")
        if bytes(file[-len(key.packed) :]) != key.packed:
            raise Unfit("it is of other tokens")
        if bytes(file[:begin]) != head.filled(key.parent, checksum([file[begin:]])):
            raise Unfit("its checksum is wrong, or it is of another model or version")
        arrays = []
        for *_, size in self.arrays(key.tokens):
            arrays.append(file[begin : begin + size])
            begin += size
        return arrays

    def _head_of(self, tokens: int) -> Head:
        head = self._heads.get(tokens)
        if head is None:
            head = self._heads[tokens] = Head(self._head(tokens))
        return head

    def _head(self, tokens: int) -> bytes:
        entries: dict[str, object] = {
            "__metadata__": {
                "format": KV_FORMAT,
                "model": self.identity.hex(),
                "parent": NO_PARENT,
                "crc32": NO_CHECKSUM,
            }
        }
        end = 0
        for name, one in self._arrays:
            begin, end = end, end + one.size_bytes(tokens)
            entries[name] = _entry(one.dtype, one.of(tokens), begin, end)
        entries["tokens"] = _entry("U32", (tokens,), end, end + 4 * tokens)
        text = json.dumps(entries, separators=(",", ":")).encode()
        text += b" " * (-(len(text) + 8) % ALIGNMENT)
        return len(text).to_bytes(8, "little") + text


class Head:
    """Of all blocks of so many tokens: the same but for two places."""

    def __init__(self, head: bytes) -> None:
        before, between = head.split(NO_PARENT.encode())
        self._parts = (before, *between.split(NO_CHECKSUM.encode()))
        self.size_bytes = len(head)

    def filled(self, parent: bytes, crc: int) -> bytes:
        first, second, third = self._parts
        return b"".join([first, parent.hex().encode(), second, f"{crc:08x}".encode(), third])


def _entry(dtype: str, shape: tuple[int, ...], begin: int, end: int) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def _short(salt: str) -> bytes:
    """As a key of a hash, which may be of 64 bytes."""
    return blake2b(salt.encode()).digest()


def checksum(pieces: Sequence[bytes | memoryview]) -> int:
    crc = 0
    for piece in pieces:
        crc = zlib.crc32(piece, crc)
    return crc
