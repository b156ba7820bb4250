"""Which device MLX will compute on, told from what is installed."""

from __future__ import annotations

import platform
import sys
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from mlx_serving.failures import LoadFailed
from mlx_serving.mlx import device
from mlx_serving.mlx.device import choose_device, device_bytes, expected_backend, version_of
from mlx_serving.mlx.memory import machine_bytes


@pytest.mark.parametrize(
    ("system", "processor", "packages", "driver", "backend"),
    [
        ("linux", "x86_64", {}, False, "cpu"),
        ("linux", "x86_64", {}, True, "cpu"),
        ("linux", "x86_64", {"mlx-cuda-13": "1"}, False, "cpu"),
        ("linux", "x86_64", {"mlx-cuda-13": "1"}, True, "cuda"),
        ("linux", "aarch64", {"mlx-cuda-12": "1"}, True, "cuda"),
        ("darwin", "arm64", {}, False, "metal"),
        ("darwin", "x86_64", {}, False, "cpu"),
    ],
)
def test_expected_backend(
    monkeypatch: pytest.MonkeyPatch,
    system: str,
    processor: str,
    packages: dict[str, str],
    driver: bool,
    backend: str,
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(platform, "machine", lambda: processor)
    monkeypatch.setattr(device, "version_of", packages.get)
    monkeypatch.setattr(Path, "exists", lambda path: driver)
    assert expected_backend() == backend


def test_versions_of_what_is_there_and_of_what_is_not() -> None:
    assert version_of("mlx") == "0.32.4"
    assert version_of("no-such-package") is None


@pytest.mark.skipif(mx.default_device().type == mx.DeviceType.gpu, reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_an_error() -> None:
    assert choose_device("auto") is choose_device("cpu") is False
    with pytest.raises(LoadFailed) as failure:
        choose_device("gpu")
    assert failure.value.code == "device_unavailable"
    assert device_bytes(on_gpu=False) == machine_bytes()


@pytest.mark.parametrize("name", ["memory_size", "total_memory"])
def test_a_gpu_has_memory_of_its_own(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    found: dict[str, Any] = {"device_name": "one", name: 1 << 36}
    monkeypatch.setattr(mx, "device_info", lambda: found)
    assert device_bytes(on_gpu=True) == 1 << 36
