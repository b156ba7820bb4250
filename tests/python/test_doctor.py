"""What `mlx-serving doctor` asks of Python."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from mlx_serving import doctor

PACKAGE = Path(__file__).parents[2] / "python"


def test_reports_versions_backend_and_blas() -> None:
    found = doctor.examine()
    assert set(found) == {"python", "versions", "backend", "device", "blas", "problem"}
    assert found["problem"] is None
    assert found["backend"] in {"metal", "cuda", "cpu"}
    assert {"mlx", "mlx-lm", "msgpack"} <= set(found["versions"])


def test_prints_one_json_object() -> None:
    command = [sys.executable, "-m", "mlx_serving.doctor"]
    done = subprocess.run(command, cwd=PACKAGE, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["python"].startswith("3.")


def test_says_why_mlx_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlx.core", None)
    found = doctor.examine()
    assert found["backend"] is None
    assert "mlx" in found["problem"]


def test_leaves_out_what_is_not_installed() -> None:
    assert doctor.version_of("no-such-distribution") is None
