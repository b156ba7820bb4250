"""BERT's forward pass against one in numpy, and what of a folder is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx_serving import fast
from mlx_serving.engine import StepOutput
from mlx_serving.failures import LoadFailed, Refused
from mlx_serving.messages import Admission, Embed, Sampling
from mlx_serving.mlx.encoder import context_max, load_encoder
from mlx_serving.mlx.encoder_operations import EncoderOperations, StockOperations
from mlx_serving.mlx.encoder_runner import EncoderRunner

CONFIG: dict[str, Any] = {
    "model_type": "bert",
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "vocab_size": 30,
    "max_position_embeddings": 32,
    "hidden_act": "gelu",
}
TEXTS = [[3, 4, 5, 6], [7], list(range(1, 20))]
Arrays = dict[str, np.ndarray[Any, Any]]


@pytest.fixture(params=["stock", "fast"])
def operations(request: pytest.FixtureRequest) -> EncoderOperations:
    if request.param == "stock":
        return StockOperations()
    if not fast.status()["on"]:
        pytest.skip("krserve_mlx_ops is not built")
    from mlx_serving.mlx.fast_encoder import FastOperations

    return FastOperations(tiles=True)


def made() -> Arrays:
    draw = np.random.default_rng(5)
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (30, 16),
        "embeddings.position_embeddings.weight": (32, 16),
        "embeddings.token_type_embeddings.weight": (2, 16),
    }
    norms = ["embeddings.LayerNorm"]
    for i in range(2):
        at = f"encoder.layer.{i}."
        for name in ("query", "key", "value"):
            shapes[f"{at}attention.self.{name}.weight"] = (16, 16)
        shapes[f"{at}attention.output.dense.weight"] = (16, 16)
        shapes[f"{at}intermediate.dense.weight"] = (24, 16)
        shapes[f"{at}output.dense.weight"] = (16, 24)
        norms += [f"{at}attention.output.LayerNorm", f"{at}output.LayerNorm"]
    for name in [*shapes]:
        if "embeddings" not in name:
            shapes[name.replace(".weight", ".bias")] = (shapes[name][0],)
    for name in norms:
        shapes[f"{name}.weight"] = shapes[f"{name}.bias"] = (16,)
    return {name: draw.normal(size=shape).astype("f4") for name, shape in shapes.items()}


def in_numpy(w: Arrays, tokens: list[int]) -> np.ndarray[Any, Any]:
    def norm(x: Any, name: str) -> Any:
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-12)
        return x * w[f"{name}.weight"] + w[f"{name}.bias"]

    def linear(x: Any, name: str) -> Any:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    word, at = "embeddings.word_embeddings.weight", "embeddings.position_embeddings.weight"
    x = w[word][tokens] + w[at][: len(tokens)] + w["embeddings.token_type_embeddings.weight"][0]
    x = norm(x, "embeddings.LayerNorm")
    erf = np.vectorize(math.erf)
    for i in range(2):
        name = f"encoder.layer.{i}."
        heads = []
        for h in range(4):
            cut = slice(4 * h, 4 * h + 4)
            q, k, v = (
                linear(x, f"{name}attention.self.{one}")[:, cut]
                for one in ("query", "key", "value")
            )
            scores = q @ k.T / 2
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            heads.append(weights / weights.sum(-1, keepdims=True) @ v)
        seen = linear(np.concatenate(heads, -1), f"{name}attention.output.dense")
        x = norm(x + seen, f"{name}attention.output.LayerNorm")
        wide = linear(x, f"{name}intermediate.dense")
        wide = wide * (1 + erf(wide / math.sqrt(2))) / 2
        x = norm(x + linear(wide, f"{name}output.dense"), f"{name}output.LayerNorm")
    return x  # type: ignore[no-any-return]


def folder_of(path: Path, prefix: str = "", **files: Any) -> Path:
    weights = {prefix + name: mx.array(array) for name, array in made().items()}
    mx.save_safetensors(str(path / "model.safetensors"), weights)
    for name, body in files.items():
        file = path / name.replace("__", "/")
        file.parent.mkdir(exist_ok=True)
        file.with_suffix(".json").write_text(json.dumps(body))
    return path


@pytest.mark.parametrize(("prefix", "pooling"), [("", "mean"), ("bert.", "cls")])
def test_vectors_are_those_of_numpy_alone_or_together(
    tmp_path: Path, prefix: str, pooling: str, operations: EncoderOperations
) -> None:
    mode = {f"pooling_mode_{pooling}_token{'s' * (pooling == 'mean')}": True}
    folder = folder_of(tmp_path, prefix, **{"1_Pooling__config": mode})
    runner = EncoderRunner(load_encoder(folder, CONFIG, on_gpu=False, operations=operations))
    prompt = [token for text in TEXTS for token in text]
    reading = Embed([len(text) for text in TEXTS])
    runner.insert(Admission(1, prompt, [], 0, Sampling(), reading=reading))
    assert runner.delay_seconds() == 0
    output = StepOutput()
    while runner.delay_seconds() is not None:
        output = runner.step()
    assert output.reads[0].vectors is not None
    vectors = np.frombuffer(output.reads[0].vectors, "<f4").reshape(len(TEXTS), -1)
    for vector, text in zip(vectors, TEXTS, strict=True):
        states = in_numpy(made(), text)
        pooled = states.mean(0) if pooling == "mean" else states[0]
        np.testing.assert_allclose(vector, pooled / np.linalg.norm(pooled), atol=1e-5)


def test_a_pass_is_as_long_as_the_machine_is_fast(tmp_path: Path) -> None:
    """Else a slow one says nothing for longer than a worker that lives would."""
    seconds_per_token, now = 1 / 16, [0.0]
    encoder = load_encoder(folder_of(tmp_path), CONFIG, on_gpu=False)
    runner = EncoderRunner(encoder, clock=lambda: now[0])
    passes: list[tuple[int, int]] = []
    states = encoder.states

    def timed(tokens: mx.array, lengths: list[int], cache: Any = None) -> mx.array:
        passes.append((len(lengths), tokens.shape[1]))
        now[0] += tokens.size * seconds_per_token
        return states(tokens, lengths, cache)

    encoder.states = timed  # type: ignore[method-assign]

    def read(count: int) -> None:
        runner.insert(Admission(1, [3] * count * 4, [], 0, Sampling(), reading=Embed([4] * count)))
        while runner.delay_seconds() is not None:
            runner.step()

    read(64)
    # The first is a guess; then 16 tokens a second are known.
    assert passes == [(32, 4), *[(4, 4)] * 8]
    seconds_per_token = 2**-16
    passes.clear()
    read(1024)
    assert [rows for rows, _ in passes[:5]] == [4, 16, 64, 256, 512]


def test_it_makes_no_text(tmp_path: Path) -> None:
    runner = EncoderRunner(load_encoder(folder_of(tmp_path), CONFIG, on_gpu=False))
    with pytest.raises(Refused, match="embedding model"):
        runner.insert(Admission(1, [1, 2], [], 5, Sampling()))
    assert runner.delay_seconds() is None and runner.figures().running == 0


@pytest.mark.parametrize(
    ("files", "config", "said"),
    [
        ({"1_Pooling__config": {"pooling_mode_max_tokens": True}}, {}, "pooling_mode_max_tokens"),
        ({"modules": [{"type": "sentence_transformers.models.Dense"}]}, {}, "Dense"),
        ({}, {"hidden_act": "relu6"}, "relu6"),
        ({}, {"position_embedding_type": "relative_key"}, "relative_key"),
        ({}, {"num_hidden_layers": 3}, "encoder.layer.2"),
    ],
)
def test_what_is_not_served_is_named(
    tmp_path: Path, files: dict[str, Any], config: dict[str, Any], said: str
) -> None:
    with pytest.raises(LoadFailed, match=said):
        load_encoder(folder_of(tmp_path, **files), {**CONFIG, **config}, on_gpu=False)


def test_a_text_may_be_as_long_as_the_model_was_made_for(tmp_path: Path) -> None:
    assert context_max(tmp_path, CONFIG) == 32
    folder = folder_of(tmp_path, sentence_bert_config={"max_seq_length": 20})
    assert context_max(folder, CONFIG) == 20
