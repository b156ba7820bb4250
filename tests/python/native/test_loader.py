"""The wrapper around krserve_native: which one is in use, and every way the module can be missing.

Each case is a fresh interpreter without site-packages, so that an installed module is not found.
"""

import json
import os
import shutil
import subprocess
import sys
from hashlib import sha256
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path

import pytest
from mlx_serving.native import loader

PYTHON = Path(__file__).resolve().parents[3] / "python"
LIBRARY = f"krserve_native{EXTENSION_SUFFIXES[0]}"
USE = """
import json
from mlx_serving import native
try:
    native.require()
    required = None
except native.NativeMissing as error:
    required = str(error)
pool = native.CommandBufferPool(1, backend="host")
buffer = pool.acquire()
pool.release(buffer)
collector = native.MetricsCollector()
collector.record_completion(1)
print(json.dumps({
    **native.status(),
    "line": native.describe(),
    "required": required,
    "used": [pool.get_stats().total_released, collector.get_metrics().completed_requests],
    "module": native.CommandBufferPool.__module__,
}))
"""


def use(folder: Path, mode: str | None = None) -> dict[str, object]:
    """What a program sees that uses the wrapper, with `folder` on its path."""
    env = {**os.environ, "PYTHONPATH": f"{PYTHON}{os.pathsep}{folder}"}
    env.pop("MLX_SERVING_NATIVE", None)
    if mode is not None:
        env["MLX_SERVING_NATIVE"] = mode
    done = subprocess.run(
        [sys.executable, "-S", "-c", USE], env=env, cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["used"] == [1, 1]
    return seen


def write_manifest(folder: Path, content: bytes) -> None:
    checksum = sha256(content).hexdigest()
    (folder / "krserve_native.sha256").write_text(f"{checksum}  {LIBRARY}\n")


def off_because(seen: dict[str, object]) -> str:
    assert seen["on"] is False
    assert seen["version"] is None
    assert seen["module"] == "mlx_serving.native.fallback"
    reason = str(seen["reason"])
    assert "\n" not in reason
    assert seen["line"] == f"native off: {reason}"
    return reason


@pytest.fixture
def installed() -> Path:
    spec = find_spec("krserve_native")
    if spec is None or spec.origin is None:
        pytest.skip("krserve_native is not built (npx mlx-serving build-native)")
    return Path(spec.origin)


@pytest.mark.parametrize("mode", [None, "", "auto", "AUTO"])
def test_missing_module_is_no_error(tmp_path: Path, mode: str | None) -> None:
    seen = use(tmp_path, mode)
    assert off_because(seen) == "krserve_native is not built (npx mlx-serving build-native)"
    assert seen["required"] is None


@pytest.mark.parametrize("mode", ["on", "1"])
def test_missing_module_is_an_error_when_asked_for(tmp_path: Path, mode: str) -> None:
    seen = use(tmp_path, mode)
    assert "not built" in off_because(seen)
    assert "krserve_native is not built" in str(seen["required"])


@pytest.mark.parametrize("mode", ["off", "0"])
def test_turned_off_is_not_even_looked_for(tmp_path: Path, mode: str) -> None:
    (tmp_path / "krserve_native.py").write_text("raise SystemExit(3)")
    seen = use(tmp_path, mode)
    assert off_because(seen) == "turned off by --native or MLX_SERVING_NATIVE"
    assert seen["required"] is None


def test_unknown_mode_is_off_and_an_error_where_it_counts(tmp_path: Path) -> None:
    seen = use(tmp_path, "yes")
    assert "must be auto, on, off, 1 or 0, not 'yes'" in off_because(seen)
    assert "not 'yes'" in str(seen["required"])


def test_module_of_another_python(tmp_path: Path) -> None:
    (tmp_path / "krserve_native.cpython-39-x86_64-linux-gnu.so").write_bytes(b"")
    reason = off_because(use(tmp_path))
    assert "built for another Python (krserve_native.cpython-39-x86_64-linux-gnu.so" in reason


def test_library_without_its_checksum(tmp_path: Path) -> None:
    (tmp_path / LIBRARY).write_bytes(b"\x7fELF")
    assert "its installation is incomplete" in off_because(use(tmp_path))


def test_library_with_another_checksum(tmp_path: Path) -> None:
    (tmp_path / LIBRARY).write_bytes(b"\x7fELF")
    write_manifest(tmp_path, b"something else")
    assert "is damaged: its checksum differs" in off_because(use(tmp_path))


@pytest.mark.parametrize("manifest", [b"", b"\xff\xfe", b"nonsense"])
def test_damaged_checksum(tmp_path: Path, manifest: bytes) -> None:
    (tmp_path / LIBRARY).write_bytes(b"\x7fELF")
    (tmp_path / "krserve_native.sha256").write_bytes(manifest)
    off_because(use(tmp_path))


def test_file_that_is_no_library(tmp_path: Path) -> None:
    (tmp_path / LIBRARY).write_bytes(b"not a library")
    write_manifest(tmp_path, b"not a library")
    assert "krserve_native can't be loaded: ImportError" in off_because(use(tmp_path))


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise RuntimeError('first\\nsecond')", "can't be loaded: RuntimeError: first"),
        ("raise ValueError", "can't be loaded: ValueError"),
        ("1 +", "can't be loaded: SyntaxError"),
        ("__version__ = '0.9.0'", "is version 0.9.0, 1.0.0 is needed"),
        ("", "is version None, 1.0.0 is needed"),
        ("__version__ = '1.0.0'; Metrics = None", "lacks CommandBuffer, CommandBufferPool"),
    ],
)
def test_module_that_is_none_of_ours(tmp_path: Path, source: str, reason: str) -> None:
    (tmp_path / "krserve_native.py").write_text(source)
    assert reason in off_because(use(tmp_path))


@pytest.mark.parametrize("mode", [None, "on", "1"])
def test_installed_module_is_used(tmp_path: Path, installed: Path, mode: str | None) -> None:
    for name in (installed.name, "krserve_native.sha256"):
        shutil.copy(installed.with_name(name), tmp_path)
    seen = use(tmp_path, mode)
    assert seen["on"] is True
    assert seen["version"] == "1.0.0"
    assert seen["reason"] is None
    assert seen["line"] == "native on: krserve_native 1.0.0"
    assert seen["module"] == "krserve_native"
    assert seen["required"] is None


@pytest.mark.parametrize("part", [0.001, 0.3, 0.6, 0.99])
def test_truncated_library_does_not_kill_us(tmp_path: Path, installed: Path, part: float) -> None:
    whole = installed.read_bytes()
    (tmp_path / LIBRARY).write_bytes(whole[: int(len(whole) * part)])
    write_manifest(tmp_path, whole)
    assert "is damaged" in off_because(use(tmp_path))


def test_wrapper_brings_nothing_heavy(tmp_path: Path) -> None:
    script = "import sys; from mlx_serving import native; print(*sys.modules)"
    env = {**os.environ, "PYTHONPATH": str(PYTHON), "MLX_SERVING_NATIVE": "auto"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=env, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert not {"mlx", "mlx.core", "mlx_lm", "numpy", "transformers"} & set(done.stdout.split())


def test_says_why_it_could_not_be_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(loader, "NAME", "krserve_native_of_nobody")
    assert (
        loader.load("auto")[1]
        == "krserve_native_of_nobody is not built (npx mlx-serving build-native)"
    )
    (tmp_path / "krserve_native_of_nobody.failed").write_text("there is no C++ compiler\n")
    reason = loader.load("auto")[1]
    assert reason == "krserve_native_of_nobody could not be built: there is no C++ compiler"
    (tmp_path / "krserve_native_of_nobody.failed").write_bytes(b"\xff\n")
    assert "could not be built: " in str(loader.load("auto")[1])
    (tmp_path / "krserve_native_of_nobody.failed").unlink()
    (tmp_path / "krserve_native_of_nobody.failed").mkdir()
    assert "is not built" in str(loader.load("auto")[1])


def test_says_why_it_could_not_be_built_where_modules_are_kept_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "krserve_nobody.failed").write_text("there is no C++ compiler\n")
    reason = loader.why_not_built("krserve_nobody")
    assert reason == "krserve_nobody could not be built: there is no C++ compiler"


def test_names_the_command_that_whoever_started_it_knows(tmp_path: Path) -> None:
    script = "from mlx_serving.native.loader import why_not_built; print(why_not_built('nobody'))"
    env = {**os.environ, "PYTHONPATH": str(PYTHON), "KRSERVE_BUILD_COMMAND": "node main.js build"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=env, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout == "nobody is not built (node main.js build)\n", done.stderr
