"""Headers that llama.cpp's package writes, and headers that nobody should have written."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type
from mlx_serving.failures import LoadFailed
from mlx_serving.models.gguf.file import read_gguf

import gguf_models

METADATA = {
    "a.text": "Grüße",
    "a.whole": 7,
    "a.real": 0.5,
    "a.bool": True,
    "a.texts": ["x", "", "yz"],
    "a.numbers": [1.5, 2.5],
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    tensors = {
        "first": np.arange(6, dtype=np.float32).reshape(2, 3),
        "second": np.ones((4, 64), np.float32),
    }
    types = {"second": Type.Q8_0}
    return gguf_models.write(tmp_path / "model.gguf", "llama", METADATA, tensors, types)


def failure(path: Path) -> LoadFailed:
    with pytest.raises(LoadFailed) as caught:
        read_gguf(path)
    assert str(path) in str(caught.value)
    return caught.value


def test_what_is_written_is_read(path: Path) -> None:
    file = read_gguf(path)
    assert file.metadata == {"general.architecture": "llama", **METADATA}
    assert {name: (one.type.name, one.shape) for name, one in file.tensors.items()} == {
        "first": ("F32", (2, 3)),
        "second": ("Q8_0", (4, 64)),
    }
    assert file.blocks("first").reshape(-1).view("<f4").tolist() == [0, 1, 2, 3, 4, 5]
    assert file.blocks("second").shape == (8, 34)


def test_a_file_that_is_cut_anywhere_is_damaged(path: Path) -> None:
    whole = path.read_bytes()
    # What comes after the last tensor fills up its alignment.
    for end in range(4, len(whole) - 16, 7):
        path.write_bytes(whole[:end])
        assert failure(path).code == "weights_corrupt"


@pytest.mark.parametrize(
    ("data", "code", "said"),
    [
        (b"", "model_not_found", "empty"),
        (b"PK\3\4", "model_unsupported", "no GGUF file"),
        (b"GGUF" + struct.pack("<I", 1), "model_unsupported", "version 1"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "model_unsupported", "little-endian"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 0), "weights_corrupt", "entries"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 60), "weights_corrupt", "entries"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1 << 60), "weights_corrupt", "cut off"),
        (
            b"GGUF" + struct.pack("<IQQQ1sI", 3, 0, 1, 1, b"k", 99),
            "weights_corrupt",
            "a value of type 99",
        ),
        (
            b"GGUF" + struct.pack("<IQQQ1sIIQ", 3, 0, 1, 1, b"k", 9, 8, 1 << 40),
            "weights_corrupt",
            "cut off",
        ),
        (
            b"GGUF" + struct.pack("<IQQQ1sIIQ", 3, 0, 1, 1, b"k", 9, 9, 1),
            "weights_corrupt",
            "a value of type 9",
        ),
        (
            b"GGUF" + struct.pack("<IQQQ1sI", 3, 1, 0, 1, b"t", 9),
            "weights_corrupt",
            "9 dimensions",
        ),
    ],
)
def test_headers_that_are_none(tmp_path: Path, data: bytes, code: str, said: str) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(data)
    refused = failure(path)
    assert (refused.code, said in str(refused)) == (code, True), str(refused)


def tensor(name: bytes, shape: list[int], kind: int, offset: int) -> bytes:
    head = struct.pack("<Q", len(name)) + name + struct.pack("<I", len(shape))
    return head + struct.pack(f"<{len(shape)}QIQ", *shape, kind, offset)


@pytest.mark.parametrize(
    ("tensors", "code", "said"),
    [
        ([tensor(b"t", [32], 16, 0)], "model_unsupported", "t is quantized as IQ2_XXS"),
        ([tensor(b"t", [32], 77, 0)], "model_unsupported", "t is quantized as type 77"),
        ([tensor(b"t", [16], 2, 0)], "weights_corrupt", "tensor t has rows of (16,)"),
        ([tensor(b"t", [1 << 62, 4], 0, 0)], "weights_corrupt", "ends before tensor t"),
        ([tensor(b"t", [1], 0, 1 << 63)], "weights_corrupt", "ends before tensor t"),
        ([tensor(b"t", [1], 0, 0)] * 2, "weights_corrupt", "twice"),
        ([tensor(b"t", [], 0, 0)], "weights_corrupt", "tensor t has rows of"),
    ],
)
def test_tensors_that_are_none(tmp_path: Path, tensors: list[bytes], code: str, said: str) -> None:
    path = tmp_path / "model.gguf"
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), 0)
    path.write_bytes(head + b"".join(tensors) + b"\0" * 64)
    refused = failure(path)
    assert (refused.code, said in str(refused)) == (code, True), str(refused)


def test_an_alignment_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    key = b"general.alignment"
    for value in (0, 1 << 31):
        entry = struct.pack("<Q", len(key)) + key + struct.pack("<II", 4, value)
        path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + entry)
        assert failure(path).code == "weights_corrupt"
