"""What is there, what is not, and why: the module and the BLAS in processes of their own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from fast_cases import ISAS
from fast_processes import BLAS_STATUS, MODULE, STATUS, ask


def installed_at(folder: Path) -> Path:
    """A copy of the module and its checksum, to be found before the installed one."""
    shutil.copy(MODULE, folder)
    shutil.copy(MODULE.with_name("krserve_mlx_ops.sha256"), folder)
    return folder / MODULE.name


def test_on() -> None:
    found = ask(STATUS, KRSERVE_ISA="", MLX_SERVING_NATIVE="auto")
    assert found["on"] and found["reason"] is None
    assert found["isa"] == ISAS[0] and found["threads"] >= 1 and found["version"] == "1.4.0"


def test_on_where_modules_are_kept_apart(tmp_path: Path) -> None:
    module = installed_at(tmp_path)
    code = STATUS.replace("fast.status()", "{**fast.status(), 'file': __import__(NAME).__file__}")
    found = ask(f"NAME = 'krserve_mlx_ops'; {code}", tmp_path)
    assert found["on"] and found["file"] == str(module)


@pytest.mark.parametrize("isa", ISAS)
def test_instruction_set_by_the_environment(isa: str) -> None:
    assert ask(STATUS, KRSERVE_ISA=isa)["isa"] == isa


def test_instruction_set_that_is_not_there() -> None:
    found = ask(STATUS, KRSERVE_ISA="altivec")
    assert not found["on"] and "altivec" in found["reason"]


def test_number_of_threads() -> None:
    assert ask(STATUS, KRSERVE_THREADS="3")["threads"] == 3
    assert ask(STATUS, KRSERVE_THREADS="none")["threads"] >= 1


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux alone has it")
def test_no_more_threads_than_processors_it_may_run_on() -> None:
    one = min(os.sched_getaffinity(0))
    code = f"import os; os.sched_setaffinity(0, {{{one}}}); {STATUS}"
    assert ask(code, KRSERVE_THREADS="")["threads"] == 1


@pytest.mark.parametrize("value", ["off", "0"])
def test_turned_off(value: str) -> None:
    found = ask(STATUS, MLX_SERVING_NATIVE=value)
    assert not found["on"] and "MLX_SERVING_NATIVE" in found["reason"]
    found = ask(BLAS_STATUS, MLX_SERVING_NATIVE=value)
    assert not found["on"] and "MLX_SERVING_NATIVE" in found["reason"]


def test_off_leaves_a_model_as_it_is() -> None:
    code = """
import json
import mlx.nn as nn
from mlx_serving.fast import accelerate
model = nn.Sequential(nn.QuantizedLinear(64, 32))
report = accelerate(model)
same = type(model.layers[0]) is nn.QuantizedLinear
print(json.dumps({"on": report.on, "line": report.describe(), "same": same}))
"""
    found = ask(code, MLX_SERVING_NATIVE="off")
    assert not found["on"] and found["same"] and "off" in found["line"]


@pytest.mark.parametrize("keep", [0, 1000, 0.5, 0.999])
def test_truncated_module(tmp_path: Path, keep: float) -> None:
    library = installed_at(tmp_path)
    data = library.read_bytes()
    library.unlink()
    library.write_bytes(data[: int(keep * len(data)) if keep < 1 else int(keep)])
    found = ask(STATUS, tmp_path)
    assert not found["on"] and "damaged" in found["reason"]


def test_module_without_its_checksum(tmp_path: Path) -> None:
    installed_at(tmp_path)
    (tmp_path / "krserve_mlx_ops.sha256").unlink()
    found = ask(STATUS, tmp_path)
    assert not found["on"] and "incomplete" in found["reason"]


def test_something_else_of_that_name(tmp_path: Path) -> None:
    (tmp_path / "krserve_mlx_ops.py").write_text("raise SystemExit(3)")
    found = ask(STATUS, tmp_path)
    assert not found["on"] and found["reason"]


def test_built_for_another_mlx() -> None:
    code = "import importlib.metadata as m; m.version = lambda name: '0.1.2'; " + STATUS
    found = ask(code)
    assert not found["on"] and "0.1.2" in found["reason"]


def test_importing_the_package_loads_no_mlx() -> None:
    code = """
import json, sys
import mlx_serving.fast, mlx_serving.fast.blas
print(json.dumps({"mlx": "mlx.core" in sys.modules}))
"""
    assert not ask(code)["mlx"]
