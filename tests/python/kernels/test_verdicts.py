"""Only measured gains turn a kernel on."""

from __future__ import annotations

import pytest
from mlx_serving.kernels import verdicts


@pytest.mark.parametrize("backend_name", ["cuda", "metal"])
def test_only_measured_gains_are_on(backend_name: str) -> None:
    for verdict in verdicts.VERDICTS:
        if verdict.backend == backend_name and verdict.on:
            assert verdict.gain is not None
            assert verdict.gain >= 0.10
