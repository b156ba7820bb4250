"""A GGUF file: what its header says, and where its tensors lie. Knows nothing of models.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. llama.cpp's own reader for
Python takes 8 s for a vocabulary of 49,000 tokens, and MLX's knows few types.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np

from ...failures import LoadFailed
from .types import TYPES, BlockType

MAGIC: Final = b"GGUF"
VERSIONS: Final = (2, 3)
ALIGNMENT_DEFAULT: Final = 32
ALIGNMENT_BYTES_MAX: Final = 1 << 20
ENTRIES_MAX: Final = 1_000_000
DIMENSIONS_MAX: Final = 4
NAME_CHARACTERS_MAX: Final = 80

STRING: Final = 8
ARRAY: Final = 9
# By the type's number; all little-endian.
SCALARS: Final[dict[int, np.dtype[Any]]] = {
    0: np.dtype("<u1"), 1: np.dtype("<i1"), 2: np.dtype("<u2"), 3: np.dtype("<i2"),
    4: np.dtype("<u4"), 5: np.dtype("<i4"), 6: np.dtype("<f4"), 7: np.dtype("?"),
    10: np.dtype("<u8"), 11: np.dtype("<i8"), 12: np.dtype("<f8"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tensor:
    """`shape` as in MLX: the last dimension is the one whose values lie beside each other."""

    type: BlockType
    shape: tuple[int, ...]
    offset: int

    @property
    def size_bytes(self) -> int:
        return prod(self.shape) // self.type.values * self.type.bytes


class GgufFile:
    """`metadata`: its values by their keys, as Python's."""

    def __init__(
        self, path: Path, data: mmap.mmap, metadata: dict[str, Any], tensors: dict[str, Tensor]
    ) -> None:
        self.path = path
        self.metadata = metadata
        self.tensors = tensors
        self._data = data

    def blocks(self, name: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """Of a tensor: a row a block, in bytes that nobody may write to."""
        tensor = self.tensors[name]
        flat = np.frombuffer(self._data, np.uint8, tensor.size_bytes, tensor.offset)
        return flat.reshape(-1, tensor.type.bytes)


def read_gguf(path: Path) -> GgufFile:
    """Raises `LoadFailed` for what is no GGUF file, is damaged, or holds tensors of a type that
    can't be read."""
    try:
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise LoadFailed("model_not_found", f"{path} can't be read: {error}") from error
    return _read(path, data)


def _read(path: Path, data: mmap.mmap) -> GgufFile:
    if data[:4] != MAGIC:
        raise LoadFailed("model_unsupported", f"{path} is no GGUF file")
    reader = _Reader(data)
    try:
        reader.at = 4
        version = reader.u32()
        if version not in VERSIONS:
            what = f"version {version} of the format; {VERSIONS} are read, little-endian"
            raise LoadFailed("model_unsupported", f"{path} is a GGUF file in {what}")
        tensors, entries = reader.count(), reader.count()
        metadata = dict(reader.entry() for _ in range(entries))
        found = [reader.tensor() for _ in range(tensors)]
    except _Damaged as error:
        raise _corrupt(path, f"its header {error}") from error
    alignment = metadata.get("general.alignment", ALIGNMENT_DEFAULT)
    if type(alignment) is not int or not 1 <= alignment <= ALIGNMENT_BYTES_MAX:
        raise _corrupt(path, "general.alignment is none")
    start = -(-reader.at // alignment) * alignment
    placed = {
        name: _placed(path, data, name, start, kind, shape, at) for name, kind, shape, at in found
    }
    if len(placed) != len(found):
        raise _corrupt(path, "a tensor is there twice")
    return GgufFile(path, data, metadata, placed)


def _placed(
    path: Path, data: mmap.mmap, name: str, start: int, kind: int, shape: tuple[int, ...], at: int
) -> Tensor:
    shown = name[:NAME_CHARACTERS_MAX]
    type_ = TYPES.get(kind)
    if type_ is None or not type_.is_read:
        known = f"type {kind}" if type_ is None else type_.name
        readable = ", ".join(one.name for one in TYPES.values() if one.is_read)
        message = f"{path}: {shown} is quantized as {known}, which is not read; {readable} are"
        raise LoadFailed("model_unsupported", message)
    tensor = Tensor(type_, shape, start + at)
    if not shape or shape[-1] % type_.values:
        raise _corrupt(path, f"tensor {shown} has rows of {shape[-1:]} values in {type_.name}")
    if tensor.offset + tensor.size_bytes > len(data):
        raise _corrupt(path, f"it ends before tensor {shown} does: download it again")
    return tensor


def _corrupt(path: Path, reason: str) -> LoadFailed:
    return LoadFailed("weights_corrupt", f"{path} is damaged: {reason}")


class _Damaged(Exception):
    """Goes on: `its header …`."""


class _Reader:
    """Raises `_Damaged` where something is no header's."""

    def __init__(self, data: mmap.mmap) -> None:
        self.at = 0
        self._data = data

    def _take(self, size: int) -> int:
        """Where the next bytes begin."""
        at = self.at
        if size > len(self._data) - at:
            raise _Damaged("is cut off: download it again")
        self.at = at + size
        return at

    def u32(self) -> int:
        value: int = struct.unpack_from("<I", self._data, self._take(4))[0]
        return value

    def u64(self) -> int:
        value: int = struct.unpack_from("<Q", self._data, self._take(8))[0]
        return value

    def count(self) -> int:
        count = self.u64()
        if count > ENTRIES_MAX:
            raise _Damaged(f"says that it has {count} entries")
        return count

    def bytes_(self) -> bytes:
        at = self._take(self.u64())
        return self._data[at : self.at]

    def text(self) -> str:
        # Pieces of a vocabulary are text; one that isn't must not keep the others from being read.
        return self.bytes_().decode("utf-8", "replace")

    def entry(self) -> tuple[str, Any]:
        return self.text(), self._value(self.u32())

    def _value(self, kind: int) -> Any:
        if kind == STRING:
            return self.text()
        if kind == ARRAY:
            return self._array(self.u32(), self.u64())
        return self._numbers(kind, 1)[0]

    def _array(self, kind: int, count: int) -> list[Any]:
        if kind != STRING:
            return self._numbers(kind, count)
        # Each has its length at least.
        if count * 8 > len(self._data) - self.at:
            raise _Damaged("is cut off: download it again")
        read: Callable[[], str] = self.text
        return [read() for _ in range(count)]

    def _numbers(self, kind: int, count: int) -> list[Any]:
        dtype = SCALARS.get(kind)
        if dtype is None:
            raise _Damaged(f"has a value of type {kind}")
        at = self._take(count * dtype.itemsize)
        numbers: list[Any] = np.frombuffer(self._data, dtype, count, at).tolist()
        return numbers

    def tensor(self) -> tuple[str, int, tuple[int, ...], int]:
        name = self.text()
        dimensions = self.u32()
        if dimensions > DIMENSIONS_MAX:
            raise _Damaged(f"has a tensor of {dimensions} dimensions")
        shape = tuple(self.u64() for _ in range(dimensions))
        return name, self.u32(), shape[::-1], self.u64()
