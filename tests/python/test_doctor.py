"""What `mlx-serving doctor` asks of Python, which is a new process each time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mlx_serving import doctor
from mlx_serving.native.choice import PARTS

PACKAGE = Path(__file__).parents[2] / "python"
VARIABLES = ("MLX_SERVING_NATIVE", "MLX_SERVING_NATIVE_PARTS")
WITHOUT_MLX = """
import sys
sys.modules["mlx.core"] = None
from mlx_serving import doctor
doctor.main()
"""


def ask(*arguments: str, **variables: str) -> dict[str, Any]:
    inherited = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    done = subprocess.run(
        [sys.executable, *(arguments or ("-m", "mlx_serving.doctor"))],
        cwd=PACKAGE,
        env={**inherited, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_reports_versions_backend_and_native_parts() -> None:
    found = ask()
    assert set(found) == {
        "python",
        "versions",
        "backend",
        "device",
        "blas",
        "native",
        "mlx_ops",
        "parts",
        "problem",
    }
    assert set(found["parts"]) == set(PARTS)
    assert found["python"].startswith("3.")
    assert found["problem"] is None
    assert found["backend"] in {"metal", "cuda", "cpu"}
    assert {"mlx", "mlx-lm", "msgpack"} <= set(found["versions"])
    assert set(found["blas"]) == {"on", "name", "reason"}
    assert set(found["native"]) == {"on", "version", "reason"}
    assert set(found["mlx_ops"]) == {"on", "version", "isa", "threads", "reason"}


def test_gives_a_reason_for_what_is_off_and_none_for_what_is_on() -> None:
    found = ask(MLX_SERVING_NATIVE="auto", MLX_SERVING_NATIVE_PARTS="all")
    for name in ("blas", "native", "mlx_ops"):
        assert found[name]["on"] is (found[name]["reason"] is None), name
    for name in ("native", "mlx_ops"):
        assert found[name]["on"] is (found[name]["version"] is not None), name
    assert found["mlx_ops"]["on"] is (found["mlx_ops"]["threads"] is not None)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a BLAS to choose")
def test_names_the_library_that_is_in_use() -> None:
    found = ask()
    if found["backend"] != "cpu":
        pytest.skip("MLX computes on the GPU here")
    if found["blas"]["on"]:
        assert found["blas"]["name"].startswith("OpenBLAS (")
    assert ".so" in ask(MLX_SERVING_NATIVE="off")["blas"]["name"]


def test_finds_libraries_in_folders_with_blanks() -> None:
    maps = """\
7f0000000000-7f0000001000 r-xp 00000000 08:01 12      /usr/lib/libblas.so.3.11.0
7f0000002000-7f0000003000 r--p 00000000 00:1f 1234567 /home/a b (c)/libscipy_openblas.so
7f0000004000-7f0000005000 rw-p 00000000 00:00 0       [heap]
7f0000006000-7f0000007000 r--p 00000000 08:01 13      /usr/share/so much/file.dat
7f0000008000-7f0000009000 rw-p 00000000 00:00 0
"""
    assert doctor.mapped_libraries(maps) == {"libblas.so.3.11.0", "libscipy_openblas.so"}


@pytest.mark.parametrize("value", ["off", "0"])
def test_is_turned_off_as_a_worker_is(value: str) -> None:
    found = ask(MLX_SERVING_NATIVE=value)
    for name in ("native", "mlx_ops"):
        assert found[name]["reason"] == "turned off by --native or MLX_SERVING_NATIVE", name
    if sys.platform == "linux":
        assert found["blas"]["reason"] == "turned off by --native or MLX_SERVING_NATIVE"


def test_tells_parts_that_are_not_named() -> None:
    found = ask(MLX_SERVING_NATIVE_PARTS="pool")
    assert found["mlx_ops"]["reason"] == "not among --native-parts"
    assert found["native"]["reason"] != "not among --native-parts"


def test_says_that_a_variable_means_nothing() -> None:
    found = ask(MLX_SERVING_NATIVE="maybe")
    for name in ("native", "mlx_ops"):
        assert "must be auto, on, off, 1 or 0, not 'maybe'" in found[name]["reason"], name


def test_says_why_mlx_cannot_be_used() -> None:
    found = ask("-c", WITHOUT_MLX)
    assert found["backend"] is None
    assert "mlx" in found["problem"]
    assert found["mlx_ops"]["reason"] == "MLX can't be used"


def test_leaves_the_blas_alone_where_a_gpu_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(doctor, "expected_backend", lambda: "cuda")
    monkeypatch.setattr(doctor.blas, "load", lambda: pytest.fail("loaded"))
    status = doctor.blas_status()
    assert status == {"on": False, "name": None, "reason": "MLX computes on the GPU here"}


def test_leaves_out_what_is_not_installed() -> None:
    assert doctor.version_of("no-such-distribution") is None
