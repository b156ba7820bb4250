"""`python -m mlx_serving.doctor`: what this Python offers to a worker, as one JSON object.

`{"python", "versions": {name: version}, "backend", "device", "blas", "problem"}`; `problem` says
why MLX can't be used, or is null. Loads MLX, no model.
"""

from __future__ import annotations

import json
import platform
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

DISTRIBUTIONS = ("mlx", "mlx-lm", "transformers", "tokenizers", "msgpack", "numpy")


def main() -> None:
    json.dump(examine(), sys.stdout)
    print()


def examine() -> dict[str, Any]:
    found: dict[str, Any] = {
        "python": platform.python_version(),
        "versions": {name: version for name in DISTRIBUTIONS if (version := version_of(name))},
        "backend": None,
        "device": None,
        "blas": None,
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
    found["blas"] = blas_in_use()
    return found


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
    libraries = {
        Path(path).name for path in re.findall(r"\s(/\S+\.so\S*)$", maps.read_text(), re.M)
    }
    for name, pattern in BLAS_LIBRARIES:
        match = next(
            (library for library in sorted(libraries) if re.search(pattern, library)), None
        )
        if match is not None:
            return f"{name} ({match})"
    return None


BLAS_LIBRARIES = (
    ("MKL", r"^libmkl"),
    ("OpenBLAS", r"openblas"),
    ("BLIS", r"^libblis"),
    ("reference BLAS", r"^lib(c?blas)[-.]"),
)


if __name__ == "__main__":
    main()
