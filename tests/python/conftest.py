"""Settings of hypothesis, and what several files need."""

import os
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, settings

import embedded_model

# Tests say themselves which native parts they are about. Before any of them is imported.
for name in ("MLX_SERVING_NATIVE", "MLX_SERVING_NATIVE_PARTS"):
    os.environ.pop(name, None)

# Those that take longest, in the order in which they begin: no process is left alone with one at
# the end of a run, while the others have nothing more to do.
LONGEST = (
    "fast/test_embedded_model.py",
    "families/test_families.py",
    "text/test_vocabularies.py",
    "mlx/test_native_parts.py",
    "mlx/test_runner.py",
    "link/test_frames_fuzz.py",
    "mlx/test_engine.py",
    "models/test_safety.py",
    "test_worker.py",
)

# Seconds each to read, and of kinds of which smaller ones are tried: `--whole` tries them too.
LARGE_VOCABULARIES: Final = {"command-r", "gemma-4", "nomic-bert-moe", "qwen35"}

# No deadline and no check of how fast data is made, since machines are busy; nothing kept on disk.
settings.register_profile(
    "plain", deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("plain")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--whole", action="store_true", help="the largest vocabularies too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--whole"):
        dear = [item for item in items if _vocabulary_of(item) in LARGE_VOCABULARIES]
        config.hook.pytest_deselected(items=dear)
        items[:] = [item for item in items if _vocabulary_of(item) not in LARGE_VOCABULARIES]
    ranks = {Path(__file__).parent / name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))


def _vocabulary_of(item: pytest.Item) -> object:
    callspec = getattr(item, "callspec", None)
    return None if callspec is None else callspec.params.get("vocabulary")


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the embedded model."""
    return embedded_model.folder(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session", params=["stock", "fast"])
def sampler(request: pytest.FixtureRequest) -> Any:
    """Every way from logits to tokens."""
    from mlx_serving.mlx.sampling import StockSampler

    if request.param == "stock":
        return StockSampler()
    if find_spec("krserve_mlx_ops") is None:
        pytest.skip("krserve_mlx_ops is not built (npx mlx-serving build-native)")
    from mlx_serving.mlx.fast_sampler import FastSampler

    return FastSampler()


@pytest.fixture(scope="session", params=["fallback", "module"])
def api(request: pytest.FixtureRequest) -> ModuleType:
    """krserve_native, and its fallback in pure Python."""
    from mlx_serving.native import fallback, loader

    if request.param == "fallback":
        return fallback
    module, why_not = loader.load("auto")
    if module is None:
        pytest.skip(str(why_not))
    return module
