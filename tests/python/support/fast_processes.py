"""What a process of its own says of the native mathematics, which is loaded once a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from fast_cases import native

PYTHON = Path(__file__).resolve().parents[3] / "python"
SITE = Path(sysconfig.get_path("platlib"))
MODULE = Path(native.__file__)
BLAS = SITE / "krserve_blas"
STATUS = "import json; from mlx_serving import fast; print(json.dumps(fast.status()))"
BLAS_STATUS = "import json; from mlx_serving.fast import blas; print(json.dumps(blas.load()))"

needs_blas = pytest.mark.skipif(not BLAS.exists(), reason="krserve_blas is not built")


def ask(code: str, *paths: Path, **environment: str) -> dict[str, Any]:
    python_path = os.pathsep.join(map(str, [*paths, PYTHON]))
    variables = {**os.environ, "PYTHONPATH": python_path, **environment}
    done = subprocess.run(
        [sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)
