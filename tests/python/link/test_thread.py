"""What a crash says of itself: never what it had in its hands."""

from __future__ import annotations

import pytest
from mlx_serving.link.thread import describe, log_crash


def test_errors_of_mlx_and_the_system_tell_what_happened() -> None:
    assert describe(RuntimeError("[malloc] 8 bytes")) == "RuntimeError: [malloc] 8 bytes"
    assert describe(MemoryError()) == "MemoryError: "


def test_other_errors_may_hold_a_prompt(capfd: pytest.CaptureFixture[str]) -> None:
    prompt = {"a word": 1}
    try:
        prompt["of a prompt"]
    except KeyError as error:
        assert describe(error) == "KeyError"
        log_crash(error)
    logged = capfd.readouterr().err
    assert "test_thread.py" in logged and "KeyError\n" in logged
