"""What stands for a model: every byte of its weights, and what else decides its numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlx_serving.mlx import model_identity
from mlx_serving.mlx.model_identity import digest, weights_hash


def test_every_byte_and_name_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_identity, "PIECE_BYTES", 10)
    monkeypatch.setattr(model_identity, "READ_BYTES", 4)
    path = tmp_path / "model-00001.safetensors"
    path.write_bytes(bytes(35))
    (tmp_path / "tokenizer.json").write_text("{}")
    known = {weights_hash(tmp_path)}
    assert weights_hash(tmp_path) in known
    for place in (0, 9, 10, 34):
        data = bytearray(35)
        data[place] = 1
        path.write_bytes(data)
        known.add(weights_hash(tmp_path))
    for data in (bytes(34), bytes(36), b""):
        path.write_bytes(data)
        known.add(weights_hash(tmp_path))
    path.write_bytes(bytes(35))
    path.rename(tmp_path / "model-00002.safetensors")
    known.add(weights_hash(tmp_path))
    (tmp_path / "model-00003.safetensors").write_bytes(b"")
    known.add(weights_hash(tmp_path))
    assert len(known) == 10


def test_facts_and_configuration_count() -> None:
    found = {
        model_identity.model_identity(weights, config, facts)
        for weights in (b"w", b"v")
        for config in (b"c", b"d")
        for facts in (["cpu"], ["gpu"], ["cpu", "free"], ["cpufree"])
    }
    assert len(found) == 16


def test_parts_are_told_apart() -> None:
    assert digest([b"ab", b"c"]) != digest([b"a", b"bc"]) != digest([b"abc"])
