"""Settings of hypothesis, and what several files need."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

import embedded_model

# Tests say themselves which native parts they are about. Before any of them is imported.
for name in ("MLX_SERVING_NATIVE", "MLX_SERVING_NATIVE_PARTS"):
    os.environ.pop(name, None)

# No deadline, since machines are busy, and nothing kept on disk.
settings.register_profile("plain", deadline=None, database=None)
settings.load_profile("plain")


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the embedded model."""
    return embedded_model.folder(tmp_path_factory.mktemp("models"))
