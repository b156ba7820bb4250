"""GGUF files as whole models: the files that stand for them, and what a worker serves of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlx_serving.failures import LoadFailed
from mlx_serving.mlx.adapter import load_text
from mlx_serving.models.gguf.file import read_gguf
from mlx_serving.models.gguf.folder import files_of, folder_of

import gguf_models
from orchestrator import Worker, admission, unpack_tokens

CHAT = [{"role": "user", "content": "What is the capital of France?"}]


@pytest.fixture(scope="module")
def embedded_file(embedded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "embedded-Q4_1.gguf"
    return gguf_models.write_embedded(embedded, path)


@pytest.fixture(scope="module")
def worker(embedded_file: Path) -> Iterator[Worker]:
    source = {"id": "mine", "kind": "gguf", "path": str(embedded_file)}
    with Worker("mlx") as worker:
        ready = worker.ready(source, contextMax=400, maxBatch=2)
        assert ready["limits"]["contextMax"] == 400
        assert ready["abilities"]["batch"] is True
        yield worker


def test_a_worker_answers_as_with_the_folder(worker: Worker) -> None:
    worker.send("prepare", id=1, input={"kind": "chat", "messages": CHAT})
    message = worker.receive()
    while message["type"] != "prepared":
        message = worker.receive()
    prompt = unpack_tokens(message["tokens"])
    run = worker.run(admission(1, prompt, max_tokens=20))[1]
    assert run.text == "The capital of France is Paris."
    assert run.end["finish"] == "stop"


def test_its_tokenizer_is_the_embedded_models(embedded: Path, embedded_file: Path) -> None:
    ours = load_text(embedded, json.loads((embedded / "config.json").read_text()))
    with folder_of(read_gguf(embedded_file)) as folder:
        theirs = load_text(folder, json.loads((folder / "config.json").read_text()))
    for text in gguf_models.texts(400):
        assert theirs.tokenize(text, rendered=False) == ours.tokenize(text, rendered=False)
    assert theirs.render(CHAT, {}) == ours.render(CHAT, {})
    assert theirs.end_tokens == {*ours.end_tokens, 0}


def test_the_folder_is_gone_at_the_end(tmp_path: Path) -> None:
    with folder_of(read_gguf(written(tmp_path))) as folder:
        names = sorted(path.name for path in folder.iterdir())
    assert names == sorted(
        ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"]
    )
    assert not folder.exists()


def written(tmp_path: Path, **changes: Any) -> Path:
    vocabulary = gguf_models.byte_level("llama-bpe", size=300)
    model, config = gguf_models.random_model("llama", vocabulary.size, num_hidden_layers=1)
    facts = {**gguf_models.metadata_of(config), **vocabulary.metadata}
    facts |= {f"tokenizer.{name}": value for name, value in changes.items()}
    facts = {name: value for name, value in facts.items() if value is not None}
    tensors = gguf_models.tensors_of(model, config)
    return gguf_models.write(tmp_path / "m.gguf", "llama", facts, tensors)


def test_a_file_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, **{"ggml.merges": None})
    with pytest.raises(LoadFailed) as caught:
        files_of(read_gguf(path))
    assert caught.value.code == "tokenizer_missing"
    said = f"{path}: no tokenizer can be made of it: it has no tokenizer.ggml.merges"
    assert str(caught.value) == said
