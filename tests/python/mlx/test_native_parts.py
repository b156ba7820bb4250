"""What speeds up MLX, in worker processes: there, broken, required, and of no use for a model."""

from __future__ import annotations

import json
import os
from hashlib import sha256
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import pytest
from mlx.utils import tree_flatten
from mlx_lm.models import llama

import toy
from orchestrator import PYTHON_ROOT, Message, Worker, admission, load_options

CPU_PARTS = ("products", "blocks", "attention", "sampling")
MODULE = "krserve_mlx_ops"
LIBRARY = f"{MODULE}{EXTENSION_SUFFIXES[0]}"
ON = {"on": True, "reason": None, "applicable": True, "missing": False}
CONFIG = {**toy.SMALL, "model_type": "llama", "vocab_size": 49152}
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "generation_config.json")

needs_ops = pytest.mark.skipif(
    find_spec(MODULE) is None, reason=f"{MODULE} is not built (npx mlx-serving build-native)"
)
cpu_only = pytest.mark.skipif(
    mx.default_device().type != mx.DeviceType.cpu, reason="MLX computes on the GPU here"
)
pytestmark = cpu_only


def small(folder: Path, tokenizer: Path, **quantization: Any) -> Path:
    """The folder of a tiny random model, quantized as asked."""
    mx.random.seed(4)
    model = llama.Model(llama.ModelArgs.from_dict(CONFIG))
    config: dict[str, Any] = {**CONFIG}
    if quantization:
        nn.quantize(model, **quantization)
        config["quantization"] = quantization
    weights = dict(tree_flatten(model.parameters()))
    mx.save_safetensors(str(folder / "model.safetensors"), weights, {"format": "mlx"})
    (folder / "config.json").write_text(json.dumps(config))
    for name in TOKENIZER_FILES:
        if (tokenizer / name).exists():
            (folder / name).symlink_to(tokenizer / name)
    return folder


def cut_short(folder: Path) -> dict[str, str]:
    """An environment in which half a library comes first."""
    (folder / LIBRARY).write_bytes(b"\x7fELF")
    checksum = sha256(b"the whole").hexdigest()
    (folder / f"{MODULE}.sha256").write_text(f"{checksum}  {LIBRARY}\n")
    return {"PYTHONPATH": f"{folder}{os.pathsep}{PYTHON_ROOT}"}


def source(folder: Path) -> Message:
    return {"id": "small", "kind": "folder", "path": str(folder)}


def generated(worker: Worker) -> list[int]:
    """Greedy, sampled and constrained rows together; the tokens of the greedy one."""
    runs = worker.run(
        admission(1, list(range(5, 40)), max_tokens=8, logprobs=3),
        admission(2, list(range(40, 60)), max_tokens=8, temperature=1.0, topP=0.9, seed=3),
        admission(3, [7], max_tokens=8, temperature=0.8, topK=4_294_967_295, logprobs=0),
        admission(4, [7, 8], max_tokens=8, repetitionPenalty=1.2, logitBias=[[9, 100.0]]),
    )
    assert all(len(run.tokens) == 8 or run.tokens[-1] == 2 for run in runs.values())
    assert [len(item["top"]) for item in runs[1].logprobs] == [3] * len(runs[1].tokens)
    assert 9 in runs[4].tokens
    return runs[1].tokens


@pytest.fixture
def affine(tmp_path: Path, embedded: Path) -> Path:
    folder = tmp_path / "affine"
    folder.mkdir()
    return small(folder, embedded, group_size=32, bits=4, mode="affine")


@needs_ops
def test_all_that_is_built_is_on(affine: Path) -> None:
    with Worker("mlx") as worker:
        native = worker.ready(source(affine))["native"]
        assert {part: native[part] for part in CPU_PARTS} == dict.fromkeys(CPU_PARTS, ON)
        assert not native["kernels"]["applicable"]
        generated(worker)
        worker.send("stop")
        worker.exit_code()
        lines = worker.stderr().splitlines()
    assert [line for line in lines if "matrices packed" in line] == [
        line for line in lines if line.endswith("15 matrices packed, 2 blocks fused")
    ]
    assert [line for line in lines if line.startswith("worker: native on: ")]


@needs_ops
@pytest.mark.parametrize("part", CPU_PARTS)
def test_each_part_by_itself(affine: Path, part: str) -> None:
    with Worker("mlx", env={"MLX_SERVING_NATIVE_PARTS": part}) as worker:
        native = worker.ready(source(affine))["native"]
        # Attention works in what blocks put into a model.
        assert [name for name in native if native[name]["on"]] == [part] * (part != "attention")
        assert native["blas"]["reason"] == "not among --native-parts"
        generated(worker)


def test_none(affine: Path) -> None:
    with Worker("mlx", env={"MLX_SERVING_NATIVE": "off"}) as worker:
        native = worker.ready(source(affine))["native"]
        assert {status["reason"] for status in native.values()} == {
            "turned off by --native or MLX_SERVING_NATIVE"
        }
        generated(worker)


def test_a_broken_library_leaves_a_worker_that_serves(tmp_path: Path, affine: Path) -> None:
    with Worker("mlx", env=cut_short(tmp_path)) as worker:
        native = worker.ready(source(affine))["native"]
        for part in CPU_PARTS:
            assert not native[part]["on"] and native[part]["applicable"]
            assert "is damaged" in native[part]["reason"]
        generated(worker)


def test_a_broken_library_that_is_required_ends_the_load(tmp_path: Path, affine: Path) -> None:
    asked = {"MLX_SERVING_NATIVE": "on", "MLX_SERVING_NATIVE_PARTS": "sampling"}
    with Worker("mlx", env={**cut_short(tmp_path), **asked}) as worker:
        worker.expect("hello")
        worker.send("load", model=source(affine), options=load_options())
        failed = worker.wait_for("loadFailed")
        assert failed["code"] == "native_missing"
        assert failed["message"].startswith("native part sampling is required but off: ")
        assert worker.exit_code() == 1


@needs_ops
@pytest.mark.parametrize(
    ("quantization", "kept"),
    [
        ({"group_size": 32, "bits": 4, "mode": "mxfp4"}, "15 not (quantization mode mxfp4)"),
        ({"group_size": 16, "bits": 4, "mode": "nvfp4"}, "15 not (quantization mode nvfp4)"),
    ],
)
def test_a_quantization_that_is_not_covered_stays_with_mlx(
    tmp_path: Path, embedded: Path, quantization: dict[str, Any], kept: str
) -> None:
    with Worker("mlx", env={"MLX_SERVING_NATIVE": "on"}) as worker:
        folder = small(tmp_path, embedded, **quantization)
        assert worker.ready(source(folder))["native"]["products"]["on"]
        tokens = generated(worker)
        worker.send("stop")
        worker.exit_code()
        lines = worker.stderr().splitlines()
    told = [line for line in lines if kept in line]
    assert len(told) == 1 and told[0].endswith(f"0 matrices packed, 0 blocks fused; {kept}")
    with Worker("mlx", env={"MLX_SERVING_NATIVE": "off"}) as worker:
        worker.ready(source(folder))
        assert generated(worker) == tokens
