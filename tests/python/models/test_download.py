"""`mlx-serving models add` with a hub id: what it asks the hub for, and how it fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import constants
from huggingface_hub.errors import (
    GatedRepoError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)
from mlx_serving.models.download import download


class Hub:
    """Stands in for the hub: remembers what it was asked, and fails if it is told to."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.asked: dict[str, Any] = {}

    def snapshot_download(self, model_id: str, **options: Any) -> str:
        self.asked = {"model_id": model_id, **options}
        if self.failure is not None:
            raise self.failure
        return str(options["local_dir"])


def with_hub(monkeypatch: pytest.MonkeyPatch, failure: Exception | None = None) -> Hub:
    hub = Hub(failure)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub.snapshot_download)
    return hub


def test_asks_for_weights_and_data_but_no_code(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hub = with_hub(monkeypatch)
    assert download("owner/name", str(tmp_path)) == 0
    assert hub.asked["model_id"] == "owner/name"
    assert hub.asked["local_dir"] == str(tmp_path)
    patterns = hub.asked["allow_patterns"]
    assert any(pattern.endswith(".safetensors") for pattern in patterns)
    assert not any(pattern.endswith((".py", ".bin", "*")) for pattern in patterns)


def refusal(kind: type[RepositoryNotFoundError]) -> RepositoryNotFoundError:
    """The hub's error, without the answer that it is usually made from."""
    return kind.__new__(kind, "404")


@pytest.mark.parametrize(
    ("failure", "code", "sentence"),
    [
        (
            refusal(RepositoryNotFoundError),
            2,
            "mirror.example:8443 has no model owner/name, or it is private: then set HF_TOKEN "
            "(HF_ENDPOINT chooses another host).",
        ),
        (refusal(GatedRepoError), 2, "is gated at mirror.example:8443: accept its terms there, "),
        (
            LocalEntryNotFoundError("no network"),
            1,
            "mirror.example:8443 cannot be reached (LocalEntryNotFoundError): check the network "
            "and its proxy, or set HF_ENDPOINT to a mirror.",
        ),
        (OSError("no space left\nat all"), 1, "from mirror.example:8443: no space left"),
        (RuntimeError("broken"), 1, "from mirror.example:8443: broken"),
    ],
)
def test_says_in_one_line_why_it_failed(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    failure: Exception,
    code: int,
    sentence: str,
) -> None:
    with_hub(monkeypatch, failure)
    monkeypatch.setattr(constants, "ENDPOINT", "https://me:secret@mirror.example:8443/hub")
    assert download("owner/name", str(tmp_path)) == code
    said = capsys.readouterr().out
    assert sentence in said
    assert said.count("\n") == 1
    assert "secret" not in said


def test_refuses_what_is_no_id(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert download("../outside", str(tmp_path)) == 2
    assert "../outside" in capsys.readouterr().out
