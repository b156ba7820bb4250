"""A block as a file: what is written, and what is believed of what is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import mlx.core as mx
import pytest
from mlx_serving.mlx.disk_format import NAME_BYTES, ArrayLayout, BlockFormat, Unfit
from mlx_serving.tokens import pack_tokens

from disk import block_format, numbers

LAYOUT = (
    (ArrayLayout("F32", (1, 2, 1, 3)), ArrayLayout("BF16", (1, 2, 1, 5))),
    None,
    (ArrayLayout("U32", (1, 1, 1, 2)), ArrayLayout("F16", (1, 1, 1, 1))) * 3,
)


def file_of(of: BlockFormat, ids: list[int]) -> tuple[bytes, list[bytes]]:
    key = of.key(of.root(""), pack_tokens(ids))
    random = Random(1)
    arrays = [random.randbytes(size) for *_, size in of.arrays(len(ids))]
    file = b"".join(of.encode(key, [memoryview(one) for one in arrays]))
    assert len(file) == of.size_bytes(len(ids))
    return file, arrays


def test_a_file_is_what_safetensors_read(tmp_path: Path) -> None:
    of = block_format(layout=LAYOUT)
    file, arrays = file_of(of, [7, 8, 9])
    path = tmp_path / "block.safetensors"
    path.write_bytes(file)
    read, about = mx.load(str(path), return_metadata=True)
    assert read["tokens"].tolist() == [7, 8, 9]
    assert about["format"] == "mlx-serving.kv.1" and about["model"] == of.identity.hex()
    assert about["parent"] == of.root("").hex()
    names = [name for name in read if name != "tokens"]
    assert sorted(names) == sorted(["kv.0.0", "kv.0.1", *(f"kv.2.{index}" for index in range(6))])
    assert read["kv.0.1"].dtype == mx.bfloat16 and read["kv.0.1"].shape == (1, 2, 3, 5)
    assert bytes(memoryview(read["kv.2.0"]).cast("B")) == arrays[2]


@pytest.mark.parametrize("tokens", [1, 2, 63, 64])
def test_what_is_written_is_read(tokens: int) -> None:
    of = block_format(layout=LAYOUT)
    file, arrays = file_of(of, list(range(tokens)))
    key = of.key(of.root(""), pack_tokens(list(range(tokens))))
    assert [bytes(one) for one in of.decode(key, memoryview(file))] == arrays


def test_every_byte_counts() -> None:
    of = block_format()
    key = of.key(of.root(""), pack_tokens([1, 2]))
    file = b"".join(of.encode(key, [numbers([], [1, 2])]))
    of.decode(key, memoryview(file))
    for place in range(len(file)):
        for bit in (0, 7):
            other = bytearray(file)
            other[place] ^= 1 << bit
            with pytest.raises(Unfit):
                of.decode(key, memoryview(other))
    for other in (file[:-1], file + b"x", b"", file[:100]):
        with pytest.raises(Unfit):
            of.decode(key, memoryview(other))


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (lambda of: of.key(of.root(""), pack_tokens([1, 3])), "other tokens"),
        (lambda of: of.key(of.root("salt"), pack_tokens([1, 2])), "checksum"),
        (lambda of: of.key(bytes(NAME_BYTES), pack_tokens([1, 2])), "checksum"),
    ],
)
def test_a_block_is_its_tokens_after_those_before_it(
    other: Callable[[BlockFormat], object], why: str
) -> None:
    """Whatever its name is."""
    of = block_format()
    key = of.key(of.root(""), pack_tokens([1, 2]))
    file = b"".join(of.encode(key, [numbers([], [1, 2])]))
    with pytest.raises(Unfit, match=why):
        of.decode(other(of), memoryview(file))  # type: ignore[arg-type]


def test_names_part_models_layouts_and_salts() -> None:
    formats = [
        block_format(),
        block_format(b"another"),
        block_format(layout=LAYOUT),
        block_format(layout=((ArrayLayout("F32", (1, 1, 1, 2)),),)),
        block_format(layout=((ArrayLayout("U32", (1, 2, 1, 2)),),)),
    ]
    roots = {of.root(salt) for of in formats for salt in ("", "a", "b" * 1000)}
    assert len(roots) == 3 * len(formats)
    assert all(len(root) == NAME_BYTES for root in roots)


def test_another_models_file_is_unfit_even_under_the_right_name() -> None:
    one, other = block_format(), block_format(b"another")
    packed = pack_tokens([1, 2])
    key = one.key(one.root(""), packed)
    file = b"".join(other.encode(key, [numbers([], [1, 2])]))
    with pytest.raises(Unfit, match="another model or version"):
        one.decode(key, memoryview(file))
