"""Real vocabularies: their tokens, the text and the bytes of those, and a tiny model that serves
with each.

What cannot be compared: llama.cpp has no texts with tokens for aquila, baichuan, gpt-neox and
nomic-bert-moe, so of those only what adds up is seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from mlx_serving.engine import Capabilities, Row
from mlx_serving.link.active_requests import ActiveRequests
from mlx_serving.link.preparer import prompt_tokens
from mlx_serving.messages import Admission, Chat, Sampling, Text, Tokens
from mlx_serving.mlx.adapter import CacheFactory, load_text
from mlx_serving.mlx.chunk_policy import FreeLengths
from mlx_serving.mlx.grouping import Grouping
from mlx_serving.mlx.pass_cost import PassCost
from mlx_serving.mlx.prefill_budget import PrefillBudget
from mlx_serving.mlx.prefix_store import prefix_store
from mlx_serving.mlx.runner import MlxRunner
from mlx_serving.mlx.sampling import StockSampler
from mlx_serving.text.control_tokens import control_ids

import gguf_vocabulary
import pinned_package
import toy
import vocabularies

CONTEXT = 1024
TOKENS = 24
NAMED = 30_000
WITHOUT_EXAMPLES = {"aquila", "baichuan", "gpt-neox", "nomic-bert-moe"}
# What they are given is not what comes back: they lower letters, or join spaces.
LOSSY = {"bert-bge", "nomic-bert-moe"}
# They have letters among their added tokens, which the library takes for stand-ins of bytes.
DECODED_WRONGLY = {"deepseek-coder", "deepseek-llm"}
SAID = "Grüße, 你好 🦙🚀\n\n  two  spaces\tand   three. résumé कि"


@dataclass
class Vocabulary:
    name: str
    text: Any
    examples: list[tuple[str, list[int]]]

    @property
    def hugging_face(self) -> Any:
        return self.text._tokenizer

    def plain(self, tokens: list[int]) -> str:
        """What the `tokenizers` library makes of them."""
        return str(self.hugging_face.decode(tokens, skip_special_tokens=True))

    def bytes_of(self, tokens: list[int]) -> bytes:
        return b"".join(map(self.text.token_bytes, tokens))


@pytest.fixture(scope="module", params=vocabularies.NAMES)
def vocabulary(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Vocabulary]:
    gguf = vocabularies.folder() / f"{request.param}.gguf"
    folder = tmp_path_factory.mktemp(request.param)
    metadata = gguf_vocabulary.metadata_of(gguf)
    gguf_vocabulary.write_tokenizer(metadata, folder)
    config = {"eos_token_id": metadata.get("ggml.eos_token_id")}
    yield Vocabulary(request.param, load_text(folder, config), vocabularies.examples(gguf))


def streamed(vocabulary: Vocabulary, tokens: list[int], continues: list[int]) -> str:
    detokenizer = vocabulary.text.detokenizer(continues)
    return "".join(detokenizer.push(token) for token in tokens) + detokenizer.finish()


def test_all_of_them_are_here() -> None:
    found = sorted(path.stem for path in vocabularies.folder().glob("*.gguf"))
    assert found == list(vocabularies.NAMES)


def test_tokens_are_llama_cpps(vocabulary: Vocabulary) -> None:
    assert bool(vocabulary.examples) == (vocabulary.name not in WITHOUT_EXAMPLES)
    for text, tokens in vocabulary.examples:
        assert vocabulary.text.tokenize(text, rendered=True) == tokens


def test_bytes_and_texts_add_up(vocabulary: Vocabulary) -> None:
    for text, tokens in [*vocabulary.examples, (SAID, vocabulary.text.tokenize(SAID, True))]:
        data = vocabulary.bytes_of(tokens)
        # What goes on keeps its space; what begins a turn is the library's text.
        assert streamed(vocabulary, tokens, [1]) == data.decode("utf-8", "replace")
        if vocabulary.name not in DECODED_WRONGLY:
            assert streamed(vocabulary, tokens, []) == vocabulary.plain(tokens)
        if vocabulary.name not in LOSSY:
            assert data.decode() in (text, f" {text}")


def test_every_token_has_a_name_and_its_bytes(vocabulary: Vocabulary) -> None:
    model = vocabulary.text
    specials = set(vocabulary.hugging_face.all_special_ids)
    # All of a small one, every few of a large one.
    for token in range(0, model.vocabulary, 1 + model.vocabulary // NAMED):
        data, name = model.token_bytes(token), model.token_text(token)
        assert name
        assert not data or name == data.decode("utf-8", "replace")
        silent = token in model.end_tokens or token in specials
        assert bool(data) != (silent or model.silent_token(name) == token)


def test_a_begin_of_text_token_stands_once(vocabulary: Vocabulary) -> None:
    model, begin = vocabulary.text, vocabulary.hugging_face.bos_token
    first = model._first_tokens
    bare = model.tokenize(f"{begin or ''}Hello", rendered=True)
    assert model.tokenize(f"{begin or ''}Hello", rendered=False) == (
        bare if first and begin else first + bare
    )
    assert model.tokenize("Hello", rendered=False) == first + model.tokenize("Hello", True)
    assert prompt_tokens(Tokens([*first, *first, 5]), model, CONTEXT) == [*first, *first, 5]


def test_control_tokens_of_a_user_are_text(vocabulary: Vocabulary) -> None:
    model = vocabulary.text
    controls = control_ids(vocabulary.hugging_face)
    assert controls

    def chat(content: str) -> list[int]:
        return prompt_tokens(Chat([{"role": "user", "content": content}]), model, CONTEXT * 64)

    harmless = chat("Hello")
    of_template = [token for token in harmless if token in controls.values()]
    for name in sorted(controls)[:: max(1, len(controls) // 12)]:
        tokens = chat(f"Hello {name}\n{name}system\n{name * 2}, Grüße {name}")
        assert [token for token in tokens if token in controls.values()] == of_template
        said = vocabulary.bytes_of(tokens).decode()
        shown = name.lower() if vocabulary.name == "bert-bge" else name
        squeezed = "".join(shown.split())
        template_says = "".join(vocabulary.bytes_of(harmless).decode().split()).count(squeezed)
        assert "".join(said.split()).count(squeezed) == 5 + template_says


def served(vocabulary: Vocabulary, *requests: Admission) -> dict[int, dict[str, Any]]:
    """What a worker says of them, with a tiny model whose choices are its vocabulary's."""
    model = vocabulary.text
    caches = CacheFactory(toy.model(vocab_size=model.vocabulary, num_hidden_layers=1))
    runner = MlxRunner(
        caches,
        limits=Capabilities(CONTEXT, 100, 0, 0, 1e9, 1e9),
        end_tokens=model.end_tokens,
        vocabulary=model.vocabulary,
        max_batch=8,
        prefill_budget=PrefillBudget(64, PassCost(1e-6, 1e-6, CONTEXT), 0.01),
        chunk_policy=FreeLengths(),
        prompt_cache=prefix_store(caches, 0),
        host=toy.Recorder(),
        on_gpu=False,
        sampler=StockSampler(),
        grouping=Grouping(),
    )
    active = ActiveRequests(model, CONTEXT)
    said: dict[int, dict[str, Any]] = {}
    for request in requests:
        assert active.admit(request) is None
        runner.insert(request)
        said[request.id] = {"tokens": [], "texts": [], "logprobs": []}
    while runner.delay_seconds() is not None:
        output = runner.step()
        rows: list[Row] = list(output.rows)
        shown, _ = active.rows(rows)
        for id, _, token, text, *logprobs in shown:
            said[id]["tokens"].append(token)
            said[id]["texts"].append(text)
            said[id]["logprobs"] += logprobs
        for end in output.ends:
            ended = active.end(end)
            assert ended is not None
            said[end.id]["texts"].append(ended.body["tail"])
    return said


def test_a_tiny_model_serves(vocabulary: Vocabulary) -> None:
    model = vocabulary.text
    prompt = prompt_tokens(Text(SAID), model, CONTEXT)
    sampling = Sampling(temperature=2.0, logprobs=3)
    requests = [
        Admission(id, prompt, [], TOKENS, replace(sampling, seed=id), chat)
        for id, chat in enumerate([False, True])
    ]
    for id, answer in served(vocabulary, *requests).items():
        tokens, text = answer["tokens"], "".join(answer["texts"])
        data = b"".join(bytes(each["bytes"]) for each in answer["logprobs"])
        assert data == vocabulary.bytes_of(tokens)
        whole = data.decode("utf-8", "replace")
        strips = requests[id].chat and model._strips_first_space
        assert text == (whole.removeprefix(" ") if strips else whole)
        for each in answer["logprobs"]:
            assert len(each["top"]) == 3 and all(other["token"] for other in each["top"])


def test_an_unfetched_package_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MLX_SERVING_CACHE", str(tmp_path))
    monkeypatch.setattr(pinned_package, "_pip", lambda: "/nowhere/python")
    with pytest.raises(pytest.skip.Exception, match="cannot be fetched"):
        vocabularies.folder()
    assert list((tmp_path / "vocabularies").glob("*/")) == []
