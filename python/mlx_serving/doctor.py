"""`python -m mlx_serving.doctor`: what this Python offers to a worker, as one JSON object.

`{"python", "versions": {name: version}, "backend", "device", "blas", "native", "mlx_ops",
"parts", "problem"}`; `problem` says why MLX can't be used, or is null; `parts` says of each native
part whether a worker would use it. `blas` is `{on, name, reason}`, `native` is krserve_native's
status and `mlx_ops` that of krserve_mlx_ops; their `reason` says why they are off, and is null when
they are on. Loads MLX, no model. MLX_SERVING_NATIVE and MLX_SERVING_NATIVE_PARTS decide as they do
for a worker.
"""

from __future__ import annotations

import json
import platform
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from . import fast, native
from .acceleration import mlx_parts, module_parts
from .fast import blas
from .mlx.device import expected_backend
from .native.choice import ON_GPU, why_unwanted

DISTRIBUTIONS = ("mlx", "mlx-lm", "transformers", "tokenizers", "msgpack", "numpy")
NO_MLX: Final = "MLX can't be used"


def main() -> None:
    json.dump(examine(), sys.stdout)
    print()


def examine() -> dict[str, Any]:
    found: dict[str, Any] = {
        "python": platform.python_version(),
        "versions": {name: version for name in DISTRIBUTIONS if (version := version_of(name))},
        "backend": None,
        "device": None,
        # Before MLX, which finds its names in it.
        "blas": blas_status(),
        "native": native.status(),
        "mlx_ops": fast.off(NO_MLX),
        "parts": module_parts(),
        "problem": None,
    }
    try:
        import mlx.core as mx

        mx.eval(mx.ones(8) + 1)
    except Exception as error:
        found["problem"] = f"{type(error).__name__}: {error}"
        return found
    found["backend"] = backend_of(mx)
    found["device"] = device_name(mx)
    found["blas"]["name"] = blas_in_use()
    # After it is told which BLAS is mapped: what is loaded from here on may bring one of its own.
    found["mlx_ops"] = fast.status()
    found["parts"] |= mlx_parts(found["backend"] != "cpu")
    return found


def blas_status() -> dict[str, Any]:
    """Puts the optimized BLAS under MLX, if this is where a worker would. `name` comes later."""
    if expected_backend() != "cpu":
        return {"on": False, "name": None, "reason": why_unwanted("blas") or ON_GPU}
    return {**blas.load(), "name": None}


def version_of(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def backend_of(mx: Any) -> str:
    if mx.default_device().type != mx.DeviceType.gpu:
        return "cpu"
    return "metal" if mx.metal.is_available() else "cuda"


def device_name(mx: Any) -> str | None:
    if mx.default_device().type != mx.DeviceType.gpu:
        return platform.processor() or platform.machine()
    name = mx.device_info().get("device_name")
    return None if name is None else str(name)


def blas_in_use() -> str | None:
    """The library that MLX's matrix products on the CPU come from; None where it can't be told."""
    if sys.platform == "darwin":
        return "Accelerate"
    maps = Path("/proc/self/maps")
    if not maps.exists():
        return None
    libraries = mapped_libraries(maps.read_text())
    for name, pattern in BLAS_LIBRARIES:
        match = next(
            (library for library in sorted(libraries) if re.search(pattern, library)), None
        )
        if match is not None:
            return f"{name} ({match})"
    return None


def mapped_libraries(maps: str) -> set[str]:
    """Names of the shared libraries in a process's map; folders may have blanks in their names."""
    paths = re.findall(r"^(?:\S+ +){5}(/.*\.so\S*)$", maps, re.M)
    return {Path(path).name for path in paths}


BLAS_LIBRARIES = (
    ("MKL", r"^libmkl"),
    ("OpenBLAS", r"openblas"),
    ("BLIS", r"^libblis"),
    ("reference BLAS", r"^lib(c?blas)[-.]"),
)


if __name__ == "__main__":
    main()
