"""Writes the shim as an assembly file: every name that libmlx.so wants and OpenBLAS has under the
prefix `scipy_` becomes a jump to it, which fits any signature.

    python make_shim.py LIBMLX LIBOPENBLAS OUT.S
"""

from __future__ import annotations

import platform
import re
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

PREFIX = "scipy_"
# BLAS and LAPACK by their names: cblas_sgemm, spotrf_.
WANTED = re.compile(rb"cblas_\w+|[sdcz][a-z0-9]+_")
JUMPS = {"x86_64": "jmp {}@PLT", "aarch64": "b {}"}
DYNSYM = 11


def main() -> None:
    mlx, openblas, out = map(Path, sys.argv[1:])
    wanted = {name for name, defined in symbols(mlx) if not defined and WANTED.fullmatch(name)}
    offered = {name for name, defined in symbols(openblas) if defined}
    names = sorted(name.decode() for name in wanted if PREFIX.encode() + name in offered)
    if not any(name.startswith("cblas_") for name in names):
        sys.exit(f"{mlx} wants no product of matrices that {openblas} has")
    out.write_text(assembly(names))


def assembly(names: list[str]) -> str:
    jump = JUMPS[platform.machine()]
    lines = [".text"]
    for name in names:
        lines += [f".globl {name}", f".type {name}, %function", f"{name}:"]
        lines += ["  " + jump.format(PREFIX + name)]
    return "\n".join([*lines, '.section .note.GNU-stack,"",%progbits', ""])


def symbols(library: Path) -> Iterator[tuple[bytes, bool]]:
    """The dynamic symbols of a 64-bit little-endian ELF file, and whether it defines them."""
    data = library.read_bytes()
    if data[:6] != b"\x7fELF\x02\x01":
        sys.exit(f"{library} is not a library of a kind that is known here")
    (offset,) = struct.unpack_from("<Q", data, 0x28)
    size, count = struct.unpack_from("<HH", data, 0x3A)
    sections = [struct.unpack_from("<IIQQQQII", data, offset + i * size) for i in range(count)]
    for _, kind, _, _, start, length, link, _ in sections:
        if kind != DYNSYM:
            continue
        names = sections[link][4]
        for at in range(start, start + length, 24):
            name, _, _, section = struct.unpack_from("<IBBH", data, at)
            end = data.index(b"\0", names + name)
            yield data[names + name : end], section != 0


if __name__ == "__main__":
    main()
