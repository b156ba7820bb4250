"""The fake engine runs where there is no MLX: it needs msgpack and llguidance, and nothing else."""

from __future__ import annotations

import subprocess
import sys

from orchestrator import PYTHON_ROOT

PROGRAM = """
import sys

for name in ("mlx", "mlx_lm", "transformers", "tokenizers", "huggingface_hub", "numpy"):
    sys.modules[name] = None

from mlx_serving.__main__ import make_engine

engine, _ = make_engine("fake")
print(engine.describe()[1])
print("mlx_lm" in [name for name, module in sys.modules.items() if module is not None])
"""


def test_it_is_made_without_mlx() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={"PYTHONPATH": str(PYTHON_ROOT)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout.split()) == (0, ["fake", "False"]), done.stderr
