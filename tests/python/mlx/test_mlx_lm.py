"""What we rely on in mlx-lm, by name and by behaviour: a new release fails here first."""

from __future__ import annotations

import importlib.metadata
import inspect
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx_serving
import pytest
from mlx_lm import tokenizer_utils, utils
from mlx_lm.models import cache as caches

from toy import model


def filled(toy: Any, tokens: list[int]) -> list[Any]:
    cache = caches.make_prompt_cache(toy)
    toy(mx.array([tokens]), cache=cache)
    return list(cache)


@pytest.fixture(scope="module")
def toy() -> Any:
    return model()


def test_pinned_versions() -> None:
    assert importlib.metadata.version("mlx-lm") == "0.32.2"
    assert importlib.metadata.version("mlx") == "0.32.4"


def test_the_adapter_imports_it_and_what_replaces_its_layers_or_caches() -> None:
    imports = re.compile(r"(import|from|import_module\(\")\s*mlx_lm")
    package = Path(mlx_serving.__file__).parent
    importing = {
        path.relative_to(package).as_posix()
        for path in package.glob("**/*.py")
        if imports.search(path.read_text())
    }
    layers = {"fast/blocks.py", "fast/operations.py", "fast/rebind.py", "kernels/swap.py"}
    assert importing == {"mlx/adapter.py", "kv/quantized.py", "kv/rows.py"} | layers


def test_names_and_parameters() -> None:
    parameters = inspect.signature(utils.load_model).parameters
    assert {"lazy", "trust_remote_code"} <= parameters.keys()
    assert parameters["trust_remote_code"].default is False
    assert list(inspect.signature(utils.load_tokenizer).parameters) == [
        "model_path",
        "tokenizer_config_extra",
        "eos_token_ids",
    ]
    assert callable(utils.maybe_set_recommended_wired_limit)
    for name in ("BPEStreamingDetokenizer", "SPMStreamingDetokenizer", "TokenizerWrapper"):
        assert inspect.isclass(getattr(tokenizer_utils, name))
    wrapper = tokenizer_utils.TokenizerWrapper
    for name in ("apply_chat_template", "detokenizer", "eos_token_ids"):
        assert hasattr(wrapper, name)


def test_weights_are_the_files_that_are_checked() -> None:
    """`models/sources.py` checks model*.safetensors: mlx-lm must load these and no others."""
    assert '"model*.safetensors"' in inspect.getsource(utils.load_model)


def test_rendering_is_sandboxed() -> None:
    from transformers.utils import chat_template_utils

    source = inspect.getsource(chat_template_utils)
    assert "jinja_env = ImmutableSandboxedEnvironment(" in source


@pytest.mark.parametrize("kind", ["KVCache", "RotatingKVCache", "ArraysCache", "CacheList"])
def test_caches_of_one_request(kind: str) -> None:
    layer = getattr(caches, kind)
    assert all(hasattr(layer, name) for name in ("merge", "state", "nbytes"))


@pytest.mark.parametrize(
    "kind", ["BatchKVCache", "BatchRotatingKVCache", "ArraysCache", "CacheList"]
)
def test_caches_of_a_batch(kind: str) -> None:
    layer = getattr(caches, kind)
    names = ("extend", "filter", "extract", "state", "nbytes")
    assert all(hasattr(layer, name) for name in names)


def test_a_copied_cache_is_a_cache_of_its_own(toy: Any) -> None:
    cache = filled(toy, [1, 2, 3])
    copy = deepcopy(cache)
    toy(mx.array([[4, 5]]), cache=copy)
    assert cache[0].offset == 3 and copy[0].offset == 5
    expected = toy(mx.array([[1, 2, 3, 9]]))[:, -1]
    assert mx.allclose(toy(mx.array([[9]]), cache=cache)[:, -1], expected, atol=1e-4)


def test_trimming_takes_the_last_tokens(toy: Any) -> None:
    cache = filled(toy, [1, 2, 3, 4])
    assert caches.can_trim_prompt_cache(cache)
    caches.trim_prompt_cache(cache, 2)
    expected = toy(mx.array([[1, 2, 9]]))[:, -1]
    assert mx.allclose(toy(mx.array([[9]]), cache=cache)[:, -1], expected, atol=1e-4)


def test_merge_extend_filter_extract(toy: Any) -> None:
    prompts = [[1, 2, 3], [4], [5, 6, 7, 8, 9]]
    parts = [filled(toy, tokens) for tokens in prompts]
    batch = [layer[0].merge(list(layer)) for layer in zip(*parts[:2], strict=True)]
    third = [layer.merge([layer]) for layer in parts[2]]
    for mine, theirs in zip(batch, third, strict=True):
        mine.extend(theirs)
    logits = toy(mx.array([[10], [11], [12]]), cache=batch)[:, -1]
    for i, (tokens, last) in enumerate(zip(prompts, (10, 11, 12), strict=True)):
        expected = toy(mx.array([[*tokens, last]]))[0, -1]
        assert mx.allclose(logits[i], expected, atol=1e-4)
    for layer in batch:
        layer.filter([0, 2])
    row = [layer.extract(1) for layer in batch]
    expected = toy(mx.array([[*prompts[2], 12, 13]]))[:, -1]
    assert mx.allclose(toy(mx.array([[13]]), cache=row)[:, -1], expected, atol=1e-4)
    assert mx.allclose(toy(mx.array([[1], [13]]), cache=batch)[1:, -1], expected, atol=1e-4)


def test_an_empty_cache_joins_a_full_one(toy: Any) -> None:
    """A prompt of one token has nothing to prefill."""
    empty = caches.make_prompt_cache(toy)
    full = filled(toy, [1, 2, 3])
    batch = [layer[0].merge(list(layer)) for layer in zip(empty, full, strict=True)]
    logits = toy(mx.array([[7], [8]]), cache=batch)[:, -1]
    assert mx.allclose(logits[0], toy(mx.array([[7]]))[0, -1], atol=1e-4)
    assert mx.allclose(logits[1], toy(mx.array([[1, 2, 3, 8]]))[0, -1], atol=1e-4)
