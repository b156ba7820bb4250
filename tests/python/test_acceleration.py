"""Which native parts a worker has: what it says of them, and what it does without one."""

from __future__ import annotations

import os
import sys
from hashlib import sha256
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

import pytest
from mlx_serving import acceleration, fast
from mlx_serving.acceleration import Parts, describe, mlx_parts, module_parts, require
from mlx_serving.failures import LoadFailed
from mlx_serving.fast import blas
from mlx_serving.kernels import device
from mlx_serving.native.choice import PARTS

from orchestrator import FAKE_MODEL, PYTHON_ROOT, Worker, admission, load_options

ON = {"on": True, "reason": None, "applicable": True, "missing": False}
BROKEN = {"on": False, "reason": "it is broken", "applicable": True, "missing": True}
UNWANTED = {**BROKEN, "missing": False}
ELSEWHERE = {**UNWANTED, "reason": "MLX computes on the GPU here", "applicable": False}


@pytest.fixture(autouse=True)
def nothing_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLX_SERVING_NATIVE", raising=False)
    monkeypatch.delenv("MLX_SERVING_NATIVE_PARTS", raising=False)


def parts(**of: object) -> Parts:
    return of  # type: ignore[return-value]


# --- what is required ---


def test_nothing_is_required_unless_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    require(parts(pool=BROKEN))
    monkeypatch.setenv("MLX_SERVING_NATIVE", "off")
    require(parts(pool=BROKEN))


def test_on_requires_what_would_be_of_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLX_SERVING_NATIVE", "on")
    require(parts(pool=ON, blas=ELSEWHERE))
    with pytest.raises(LoadFailed) as failure:
        require(parts(pool=ON, blocks=BROKEN))
    assert failure.value.code == "native_missing"
    assert str(failure.value) == "native part blocks is required but off: it is broken"


def test_on_requires_the_named_parts_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLX_SERVING_NATIVE", "on")
    monkeypatch.setenv("MLX_SERVING_NATIVE_PARTS", "metrics")
    require(parts(pool=BROKEN, metrics=ON))
    with pytest.raises(LoadFailed):
        require(parts(pool=ON, metrics=BROKEN))


def test_a_wrong_name_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLX_SERVING_NATIVE_PARTS", "magic")
    with pytest.raises(LoadFailed, match="MLX_SERVING_NATIVE_PARTS must name some of"):
        require(module_parts())


# --- what is said ---


def test_the_line_for_the_log() -> None:
    line = describe(parts(products=ON, blocks=ON, pool=BROKEN, metrics=BROKEN, kernels=ELSEWHERE))
    assert line == "native on: products, blocks; off: pool, metrics (it is broken)"
    assert describe(parts(pool=BROKEN)) == "native off: pool (it is broken)"


def say(monkeypatch: pytest.MonkeyPatch, module: Any, reason: str | None) -> None:
    monkeypatch.setattr(module, "status", lambda: {"on": reason is None, "reason": reason})


@pytest.mark.parametrize(
    "reason", [None, "krserve_native is not built (npx mlx-serving build-native)"]
)
def test_parts_of_the_module(monkeypatch: pytest.MonkeyPatch, reason: str | None) -> None:
    say(monkeypatch, acceleration.native, reason)
    by_default = {**UNWANTED, "reason": "off by default: it gains too little"}
    assert module_parts() == {"pool": by_default, "metrics": by_default}
    monkeypatch.setenv("MLX_SERVING_NATIVE_PARTS", "pool")
    assert module_parts() == {
        "pool": ON if reason is None else {**BROKEN, "reason": reason},
        "metrics": {**UNWANTED, "reason": "not among --native-parts"},
    }


@pytest.mark.parametrize("backend", ["cuda", "metal"])
def test_parts_on_a_gpu(monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    monkeypatch.setattr(device, "backend", lambda: backend)
    parts = mlx_parts(on_gpu=True)
    kernels = parts.pop("kernels")
    assert parts == dict.fromkeys(
        ("blas", "products", "blocks", "attention", "sampling"), ELSEWHERE
    )
    unmeasured = {**ELSEWHERE, "reason": "nothing has been measured on Metal"}
    assert kernels == (ON if backend == "cuda" else unmeasured)
    monkeypatch.setenv("MLX_SERVING_NATIVE", "on")
    require(parts | {"kernels": kernels})


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_parts_on_a_cpu(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    say(monkeypatch, fast, None)
    say(monkeypatch, blas, "it is broken")
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setenv("MLX_SERVING_NATIVE_PARTS", "blas,products,sampling,kernels")
    parts = mlx_parts(on_gpu=False)
    assert parts["products"] == parts["sampling"] == ON
    assert parts["blocks"] == {
        **UNWANTED,
        "reason": "not among --native-parts",
    }
    assert parts["attention"] == parts["blocks"] | {"applicable": False}
    assert parts["blas"] == {
        **(BROKEN if platform == "linux" else UNWANTED),
        "applicable": platform == "linux",
    }
    assert parts["kernels"] == {
        **ELSEWHERE,
        "reason": "MLX computes on the CPU here",
    }
    monkeypatch.setenv("MLX_SERVING_NATIVE", "on")
    if platform == "linux":
        with pytest.raises(LoadFailed, match="blas is required"):
            require(parts)
    else:
        require(parts)


def test_attention_has_nothing_to_do_without_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    say(monkeypatch, fast, None)
    say(monkeypatch, blas, None)
    alone = {**ELSEWHERE, "reason": "nothing to do without blocks"}
    for asked, wanted in (("attention", alone), ("attention,blocks", ON)):
        monkeypatch.setenv("MLX_SERVING_NATIVE_PARTS", asked)
        assert mlx_parts(on_gpu=False)["attention"] == wanted


@pytest.mark.parametrize("on_gpu", [False, True])
def test_parts_that_are_turned_off(monkeypatch: pytest.MonkeyPatch, on_gpu: bool) -> None:
    for module in (fast, blas):
        # Theirs is asked for once in a process.
        say(monkeypatch, module, None)
    monkeypatch.setenv("MLX_SERVING_NATIVE", "off")
    parts = {**module_parts(), **mlx_parts(on_gpu)}
    assert tuple(sorted(parts)) == tuple(sorted(PARTS))
    assert {part["reason"] for part in parts.values()} == {
        "turned off by --native or MLX_SERVING_NATIVE"
    }
    assert not any(part["on"] for part in parts.values())
    require(parts)


# --- in a worker ---


def cut_short(folder: Path) -> dict[str, str]:
    """An environment in which half a library comes first."""
    library = f"krserve_native{EXTENSION_SUFFIXES[0]}"
    (folder / library).write_bytes(b"\x7fELF")
    checksum = sha256(b"the whole").hexdigest()
    (folder / "krserve_native.sha256").write_text(f"{checksum}  {library}\n")
    return {"PYTHONPATH": f"{folder}{os.pathsep}{PYTHON_ROOT}"}


def test_a_broken_library_leaves_a_worker_that_serves(tmp_path: Path) -> None:
    environment = {**cut_short(tmp_path), "MLX_SERVING_NATIVE_PARTS": "all"}
    with Worker(env=environment) as worker:
        ready = worker.ready()
        for part in ("pool", "metrics"):
            assert not ready["native"][part]["on"]
            assert "damaged" in ready["native"][part]["reason"]
        assert worker.run(admission(1, max_tokens=4))[1].end["finish"] == "length"


def test_a_broken_library_that_is_required_ends_the_load(tmp_path: Path) -> None:
    with Worker(env={**cut_short(tmp_path), "MLX_SERVING_NATIVE": "on"}) as worker:
        worker.expect("hello")
        worker.send("load", model=FAKE_MODEL, options=load_options())
        failed = worker.expect("loadFailed")
        assert failed["code"] == "native_missing"
        assert "pool is required but off" in failed["message"]
        assert "damaged" in failed["message"]
