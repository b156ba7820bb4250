"""What stands for a model: a hash over all bytes of its weights, and over what else decides which
numbers it computes. Knows no MLX.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Final

from ..models.files import weight_files

PIECE_BYTES: Final = 64 * 2**20
READ_BYTES: Final = 2**20
THREADS_MAX: Final = 8
COMPUTED_BY: Final = ("mlx", "mlx-lm")


def weights_hash(model: Path) -> bytes:
    """Over every byte of the weights and their names. Raises `OSError`."""
    files = weight_files(model)
    pieces = [
        (file, first)
        for file in files
        for first in range(0, max(1, file.stat().st_size), PIECE_BYTES)
    ]
    with ThreadPoolExecutor(min(THREADS_MAX, os.cpu_count() or 1)) as pool:
        hashes = list(pool.map(_hash_piece, pieces))
    return digest(
        part
        for (file, first), piece in zip(pieces, hashes, strict=True)
        for part in (file.name.encode(), str(first).encode(), piece)
    )


def _hash_piece(piece: tuple[Path, int]) -> bytes:
    path, first = piece
    hashed = sha256()
    left = PIECE_BYTES
    with path.open("rb", buffering=0) as file:
        file.seek(first)
        while left and (read := file.read(min(left, READ_BYTES))):
            hashed.update(read)
            left -= len(read)
    return hashed.digest()


def model_identity(weights: bytes, config: bytes, facts: Sequence[str]) -> bytes:
    """`facts`: of the device, the native parts and the way in which prompts are computed. Where any
    differs, the last bits of what is computed may."""
    libraries = [f"{name} {version(name)}" for name in COMPUTED_BY]
    machine = [sys.platform, platform.machine()]
    return digest([weights, config, *(one.encode() for one in [*libraries, *machine, *facts])])


def digest(parts: Iterable[bytes]) -> bytes:
    """Over the parts, none of which can be taken for the end of another."""
    hashed = sha256()
    for part in parts:
        hashed.update(len(part).to_bytes(8, "little"))
        hashed.update(part)
    return hashed.digest()
