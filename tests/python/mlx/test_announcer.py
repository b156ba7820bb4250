"""Computations that may take long are announced."""

from __future__ import annotations

import pytest
from mlx_serving.mlx.announcer import Announcer, allowance_ms

from toy import Recorder


def test_only_what_takes_long_is_announced() -> None:
    assert allowance_ms(0.5) == 0
    assert allowance_ms(10) > 10_000


def test_a_shape_is_compiled_once() -> None:
    host = Recorder()
    announcer = Announcer(host, on_gpu=True)
    for passes, tokens in [((1,), 8), ((1,), 8), ((2,), 8), ((1,), 9), ((1, 1), 8), ((2,), 8)]:
        announcer.before("prefill", passes, tokens, 0.1)
    assert host.busies == ["compilation"] * 4


@pytest.mark.parametrize("on_gpu", [True, False])
def test_the_reason_is_told(on_gpu: bool) -> None:
    host = Recorder()
    announcer = Announcer(host, on_gpu)
    for _ in range(2):
        announcer.before("decode", (4,), 1, 60.0)
    assert host.busies == ["compilation" if on_gpu else "decode", "decode"]
