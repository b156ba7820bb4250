"""Where there are kernels, and their sources."""

from __future__ import annotations

import re

import mlx.core as mx
import pytest
from mlx_serving.kernels import device


def test_the_cpu_has_no_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mx, "default_device", lambda: mx.Device(mx.cpu))
    assert device.backend() is None


@pytest.mark.parametrize("name", ["product.cuh", "attention.cuh", "norm.cuh", "norm.metal"])
def test_sources_are_there_and_balanced(name: str) -> None:
    text = re.sub(r"//.*", "", device.source(name))
    for opening, closing in ("()", "{}", "[]"):
        assert text.count(opening) == text.count(closing)


def test_cuda_headers_are_included_by_path() -> None:
    line = device.include("product.cuh")
    path = re.fullmatch(r'#include "(/.+/product\.cuh)"\n', line)
    assert path
