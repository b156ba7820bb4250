"""The embedded model's greedy text, accelerated against stock MLX."""

from __future__ import annotations

# First: it skips this file where the module is not built.
# isort: off
from fast_cases import ISAS, exact, using
# isort: on

import os
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.utils import load_model, load_tokenizer
from mlx_serving.fast import accelerate
from mlx_serving.models.sources import EMBEDDED_ID

PROMPTS = (
    "What is the capital of France?",
    "Count from one to ten.",
    "Write a short poem about the sea.",
)
TOKENS = 8
# Of a logit, of the size of about 20.
TOLERANCE = 0.05


def folder() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    root = os.environ.get("MLX_SERVING_CACHE") or Path(cache, "mlx-serving")
    return Path(root, "models", EMBEDDED_ID)


pytestmark = pytest.mark.skipif(
    not (folder() / "model.safetensors").exists(), reason="the embedded model is not converted yet"
)


def prompts() -> list[list[int]]:
    tokenizer = load_tokenizer(folder())
    # Without the template's own long system message: stock MLX takes seconds for it.
    system = {"role": "system", "content": ""}
    chats = [[system, {"role": "user", "content": text}] for text in PROMPTS]
    return [tokenizer.apply_chat_template(chat, add_generation_prompt=True) for chat in chats]


def greedy(model: Any, batch: list[list[int]]) -> tuple[list[list[int]], list[mx.array]]:
    """Tokens and the logits they came from, row by row, decoded together."""
    rows = []
    for prompt in batch:
        cache = make_prompt_cache(model)
        model(mx.array([prompt[:-1]]), cache=cache)
        rows.append(cache)
    cache = [layers[0].merge(list(layers)) for layers in zip(*rows, strict=True)]
    tokens = mx.array([prompt[-1] for prompt in batch])
    logits, drawn = [], []
    for _ in range(TOKENS):
        step = model(tokens[:, None], cache=cache)[:, -1]
        tokens = mx.argmax(step, axis=-1)
        logits.append(step)
        drawn.append(tokens)
    return mx.stack(drawn, axis=1).tolist(), list(mx.stack(logits, axis=1))


def test_greedy_text() -> None:
    stock, _ = load_model(folder())
    texts = prompts()
    results = {}
    for isa in ISAS:
        with using(isa):
            fast, _ = load_model(folder())
            report = accelerate(fast)
            assert report.blocks == len(fast.layers) and report.kept == {}
            results[isa] = greedy(fast, texts)
    tokens, logits = results[ISAS[0]]
    for i, text in enumerate(texts):
        # What stock MLX would choose after each of the same tokens: equal texts have equal choices.
        known = mx.array([text + tokens[i][:-1]])
        wanted = stock(known)[0, len(text) - 1 :]
        assert mx.argmax(wanted, axis=-1).tolist() == tokens[i]
        assert np.abs(exact(logits[i]) - exact(wanted)).max() < TOLERANCE
    for isa in ISAS[1:]:
        others, other_logits = results[isa]
        assert others == tokens
        for mine, theirs in zip(logits, other_logits, strict=True):
            assert np.abs(exact(mine) - exact(theirs)).max() < TOLERANCE
