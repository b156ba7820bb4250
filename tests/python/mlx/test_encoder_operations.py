"""What MLX itself has no fast or no exact one of."""

from __future__ import annotations

import math

import mlx.core as mx
import numpy as np
import pytest
from mlx_serving.mlx.encoder_operations import erf


def test_the_error_function_is_as_exact_as_float32_can_tell() -> None:
    numbers = np.linspace(-6, 6, 20_001, dtype=np.float32)
    right = np.array([math.erf(float(x)) for x in numbers])
    assert np.abs(np.array(erf(mx.array(numbers))) - right).max() < 5e-7
    assert erf(mx.array([-100.0, 100.0])).tolist() == pytest.approx([-1, 1], abs=5e-7)
