"""Folders that can be loaded, and why others cannot."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError
from mlx_serving.failures import LoadFailed
from mlx_serving.messages import ModelSource
from mlx_serving.models import files, sources

from orchestrator import PYTHON_ROOT


def safetensors(path: Path, header: object = None, data: bytes = b"\0" * 16) -> None:
    if header is None:
        header = {
            "__metadata__": {"format": "mlx"},
            "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
            "b": {"dtype": "U8", "shape": [8], "data_offsets": [8, 16]},
        }
    body = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(body)) + body + data)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    (tmp_path / "tokenizer.json").write_text("{}")
    safetensors(tmp_path / "model.safetensors")
    return tmp_path


def code(path: Path) -> str:
    with pytest.raises(LoadFailed) as caught:
        sources.check_folder(path)
    assert str(path) in str(caught.value)
    return caught.value.code


def test_a_good_folder(folder: Path) -> None:
    sources.check_folder(folder)
    source = ModelSource("mine", "folder", str(folder))
    assert sources.resolve(source, lambda *_: None) == folder


def test_what_is_missing(folder: Path) -> None:
    assert code(folder / "nowhere") == "model_not_found"
    (folder / "tokenizer.json").unlink()
    assert code(folder) == "tokenizer_missing"
    (folder / "model.safetensors").unlink()
    assert code(folder) == "model_not_found"
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    assert code(folder) == "weights_unsafe"
    (folder / "config.json").unlink()
    assert code(folder) == "model_not_found"


@pytest.mark.parametrize(
    "config",
    [
        "{",
        "[]",
        "{}",
        "[" * 100_000,
        '{"model_type": 1}',
        '{"model_type": "../x"}',
        '{"model_type": "llama.os"}',
        '{"model_type": "x", "model_file": "x.py"}',
    ],
)
def test_bad_configurations(folder: Path, config: str) -> None:
    (folder / "config.json").write_text(config)
    assert code(folder) == "model_unsupported"


@pytest.mark.parametrize(
    "config", ["[]", '{"chat_template_type": "..os"}', '{"tool_parser_type": ["x"]}']
)
def test_bad_tokenizer_configurations(folder: Path, config: str) -> None:
    (folder / "tokenizer_config.json").write_text('{"chat_template_type": "deepseek_v32"}')
    sources.check_folder(folder)
    (folder / "tokenizer_config.json").write_text(config)
    assert code(folder) == "model_unsupported"


def test_files_that_are_too_large(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "JSON_BYTES_MAX", 8)
    assert code(folder) == "model_unsupported"


def tensor(dtype: str = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    return {"a": {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}}


@pytest.mark.parametrize(
    ("header", "data"),
    [
        (tensor(), b"\0" * 7),
        (tensor(), b"\0" * 9),
        (tensor(offsets=(4, 12)), b"\0" * 12),
        (tensor(offsets=(8, 0)), b"\0" * 8),
        (tensor(offsets=(0, 1 << 62)), b"\0" * 8),
        (tensor(shape=(3,)), b"\0" * 8),
        (tensor(shape=("x",)), b"\0" * 8),
        (tensor(shape=(-1, -2)), b"\0" * 8),
        (tensor(shape=(True, 2)), b"\0" * 8),
        (tensor(shape=(2.0,)), b"\0" * 8),
        (tensor(shape=(1,) * 33 + (2,)), b"\0" * 8),
        (tensor(offsets=(0.0, 8.0)), b"\0" * 8),
        (tensor(offsets="08"), b"\0" * 8),
        (b"[" * 100_000, b""),
        (tensor(dtype="F99"), b"\0" * 8),
        ({"a": 3}, b""),
        ([], b""),
        (b"not json", b""),
    ],
)
def test_damaged_weights(folder: Path, header: object, data: bytes) -> None:
    safetensors(folder / "model.safetensors", header, data)
    assert code(folder) == "weights_corrupt"


@pytest.mark.parametrize(
    "data", [b"", b"\1\2\3", struct.pack("<Q", 1 << 60) + b"{}", struct.pack("<Q", 0)]
)
def test_damaged_headers(folder: Path, data: bytes) -> None:
    (folder / "model.safetensors").write_bytes(data)
    assert code(folder) == "weights_corrupt"


def test_a_missing_shard(folder: Path) -> None:
    index = {"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert code(folder) == "weights_corrupt"


@pytest.mark.parametrize("index", ["[]", '{"weight_map": []}', '{"weight_map": {"a": {}}}'])
def test_an_index_that_is_none(folder: Path, index: str) -> None:
    path = folder / "model.safetensors.index.json"
    path.write_text(index)
    assert code(folder) == "weights_corrupt"


def test_weights_that_are_no_file(folder: Path) -> None:
    os.mkfifo(folder / "model-2.safetensors")
    assert code(folder) == "weights_corrupt"


# --- the hub ---


def hub(id: str) -> Path:
    return sources.resolve(ModelSource(id, "hub", ""), lambda *_: None)


@pytest.mark.parametrize("id", ["../etc", "a/b/c", "/abs", "a/..", "", "-x/y", "a b", "x/y\n"])
def test_ids_that_are_none(id: str) -> None:
    with pytest.raises(LoadFailed) as caught:
        hub(id)
    assert caught.value.code == "model_not_found"


def test_a_cached_snapshot_needs_no_network(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def snapshot(id: str, allow_patterns: list[str], local_files_only: bool) -> str:
        assert id == "owner/name" and local_files_only
        assert not any(pattern.endswith((".py", ".bin")) for pattern in allow_patterns)
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    assert hub("owner/name") == folder


def test_offline_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def snapshot(id: str, **_: Any) -> str:
        raise LocalEntryNotFoundError("no network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    with pytest.raises(LoadFailed, match="cannot be reached") as caught:
        hub("owner/name")
    assert caught.value.code == "model_not_found"


def test_a_download_reports_bytes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[float, float, str]] = []

    def snapshot(id: str, **options: Any) -> str:
        if options.get("local_files_only"):
            raise LocalEntryNotFoundError("not here")
        bar = options["tqdm_class"](total=100, unit="B")
        bar.update(40)
        bar.update(60)
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    source = ModelSource("owner/name", "hub", "")
    assert sources.resolve(source, lambda *args: seen.append(args)) == folder
    assert seen == [(40, 100, "download"), (100, 100, "download")]


def test_the_command_line_says_what_is_wrong(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mlx_serving.models", "convert-embedded"),
            *("--gguf", str(tmp_path / "none.gguf"), "--out", str(tmp_path / "out")),
        ],
        env={"PYTHONPATH": str(PYTHON_ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "is not a file" in done.stderr and "Traceback" not in done.stderr
