"""The optimized BLAS: whether it is under MLX, and why not, in processes of their own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fast_processes import BLAS, BLAS_STATUS, SITE, ask, needs_blas


@needs_blas
def test_blas_where_modules_are_kept_apart(tmp_path: Path) -> None:
    shutil.copytree(BLAS, tmp_path / "krserve_blas")
    code = BLAS_STATUS.replace("blas.load()", "{**blas.load(), 'maps': open(MAPS).read()}")
    found = ask(f"MAPS = '/proc/self/maps'; {code}", tmp_path)
    assert found["on"] and str(tmp_path / "krserve_blas" / "libkrserve_blas.so") in found["maps"]
    assert str(BLAS) not in found["maps"]


@needs_blas
def test_blas() -> None:
    code = """
import json
from mlx_serving.fast import blas
first = blas.load()
import mlx.core as mx
a = mx.random.normal((50, 60)); b = mx.random.normal((60, 70))
exact = (a[:, :, None] * b[None]).sum(axis=1)
maps = open("/proc/self/maps").read()
inverse = mx.linalg.inv(mx.eye(3) * 2, stream=mx.cpu)
print(json.dumps({**first, "again": blas.status() == first, "loaded": "libscipy_openblas" in maps,
    "error": float(mx.abs(a @ b - exact).max()), "inverse": inverse.tolist()[1][1]}))
"""
    found = ask(code)
    assert found["on"] and found["name"] == "OpenBLAS" and found["again"] and found["loaded"]
    assert found["error"] < 1e-4 and found["inverse"] == 0.5


@needs_blas
def test_blas_after_mlx_is_too_late() -> None:
    found = ask("import mlx.core; " + BLAS_STATUS)
    assert not found["on"] and "first" in found["reason"]


def test_blas_that_is_not_built(tmp_path: Path) -> None:
    found = ask(redirected(tmp_path))
    assert not found["on"] and "not built" in found["reason"] and found["name"] == "reference BLAS"


@needs_blas
@pytest.mark.parametrize("name", ["libkrserve_blas.so", "libscipy_openblas.so"])
def test_truncated_blas(tmp_path: Path, name: str) -> None:
    shutil.copytree(BLAS, tmp_path / "krserve_blas")
    library = tmp_path / "krserve_blas" / name
    library.write_bytes(library.read_bytes()[: library.stat().st_size // 2])
    found = ask(redirected(tmp_path))
    assert not found["on"] and name in found["reason"] and "damaged" in found["reason"]


@needs_blas
def test_incomplete_blas(tmp_path: Path) -> None:
    shutil.copytree(BLAS, tmp_path / "krserve_blas")
    (tmp_path / "krserve_blas" / "libscipy_openblas.so").unlink()
    assert "incomplete" in ask(redirected(tmp_path))["reason"]


@needs_blas
def test_blas_that_is_no_library(tmp_path: Path) -> None:
    folder = tmp_path / "krserve_blas"
    folder.mkdir()
    (folder / "libkrserve_blas.so").write_text("INPUT(nothing)")
    (folder / "manifest.sha256").write_text("")
    found = ask(redirected(tmp_path))
    assert not found["on"] and "can't be used" in found["reason"]


def redirected(site: Path) -> str:
    """As if modules were installed there alone."""
    path = f"import sys, sysconfig; sysconfig.get_path = lambda name: {str(site)!r}; "
    hidden = f"sys.path[:] = [p for p in sys.path if p != {str(SITE)!r}]; "
    return path + hidden + BLAS_STATUS
