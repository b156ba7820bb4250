"""The MLX engine with the embedded model, through real processes. Few and short: without fast
primitives a CPU does some seven tokens a second.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any, cast

import pytest
from mlx_serving.failures import LoadFailed
from mlx_serving.messages import LoadOptions
from mlx_serving.mlx.engine import _grammars, _quantization

from orchestrator import Message, Worker, admission, load_options, unpack_tokens
from toy import model

CHAT = [{"role": "user", "content": "What is the capital of France?"}]
ANSWER = "The capital of France is Paris."
CONTEXT = 400


# 30 layers, keys and values of 3 heads of 64 numbers of 4 bytes; or a byte each, and a scale and a
# bias of 4 for the 64.
BYTES_PER_TOKEN = 30 * 2 * 3 * 64 * 4
BYTES_PER_TOKEN_AS_CODES = 30 * 2 * 3 * (64 + 2 * 4)


def started(embedded: Path, **options: Any) -> Iterator[Worker]:
    source = {"id": "smollm2-135m-instruct", "kind": "embedded", "path": str(embedded)}
    with Worker("mlx") as worker:
        ready = worker.ready(source, contextMax=CONTEXT, **options)
        limits = ready["limits"]
        assert limits["contextMax"] == CONTEXT
        is_quantized = options.get("kvBits") == 8
        expected = BYTES_PER_TOKEN_AS_CODES if is_quantized else BYTES_PER_TOKEN
        assert limits["kvBytesPerToken"] == expected
        assert ready["abilities"]["kvBits"] == options.get("kvBits", 0)
        assert 0 < limits["weightsBytes"] < limits["kvBudgetBytes"]
        yield worker


@pytest.fixture(scope="module")
def alone(embedded: Path) -> Iterator[Worker]:
    """One at a time: the deterministic profile."""
    yield from started(embedded, maxBatch=1, deterministic=True)


@pytest.fixture(scope="module")
def batched(embedded: Path) -> Iterator[Worker]:
    yield from started(embedded, maxBatch=4, prefixCacheBytes=1 << 28)


def prepare(worker: Worker, id: int, body: Message) -> Message:
    worker.send("prepare", id=id, input=body)
    message = worker.receive()
    while message["type"] not in ("prepared", "refused"):
        message = worker.receive()
    return message


@pytest.fixture(scope="module")
def prompt(alone: Worker) -> list[int]:
    prepared = prepare(alone, 1, {"kind": "chat", "messages": CHAT})
    return unpack_tokens(prepared["tokens"])


def test_the_same_text_wherever_it_is_resumed(alone: Worker, prompt: list[int]) -> None:
    whole = alone.run(admission(10, prompt, max_tokens=20))[10]
    assert whole.text == ANSWER
    assert whole.end["finish"] == "stop" and whole.tokens[-1] == 2 and whole.texts[-1] == ""
    assert whole.prefills[-1]["cached"] == 0
    for k in (1, 4, len(whole.tokens) - 1):
        run = alone.run(admission(10 + k, prompt, emitted=whole.tokens[:k], max_tokens=20))[10 + k]
        assert run.tokens == whole.tokens[k:] and run.texts == whole.texts[k:]
        assert run.prefills[-1]["done"] == run.prefills[-1]["total"] == len(prompt) + k


def test_a_batch_answers_as_one_does_and_the_cache_helps(
    batched: Worker, prompt: list[int]
) -> None:
    short = prompt[-17:]
    runs = batched.run(
        admission(20, prompt, max_tokens=20, stop=["Paris"]),
        admission(21, short, max_tokens=4, temperature=0.8, seed=5, logprobs=2),
        admission(22, short, max_tokens=4, temperature=0.8, seed=6),
    )
    assert runs[20].text == "The capital of France is "
    assert runs[20].end["finish"] == "stop"
    assert [len(item["top"]) for item in runs[21].logprobs] == [2] * 4
    again = batched.run(
        admission(23, prompt, max_tokens=20),
        admission(24, short, max_tokens=4, temperature=0.8, seed=5),
    )
    assert again[23].text == ANSWER
    assert again[23].prefills[-1]["cached"] == len(prompt) - 1
    assert again[24].tokens == runs[21].tokens


def test_a_quantized_kv_cache(embedded: Path, prompt: list[int]) -> None:
    """Together, again from the prefix cache, and after the worker's death."""
    options: dict[str, Any] = {"kvBits": 8, "maxBatch": 4, "prefixCacheBytes": 1 << 28}
    other = prompt[:-9] + prompt[-8:]
    for worker in started(embedded, **options):
        runs = worker.run(admission(1, prompt, max_tokens=20), admission(2, other, max_tokens=4))
        assert runs[1].text == ANSWER
        again = worker.run(admission(3, prompt, max_tokens=20))[3]
        assert again.tokens == runs[1].tokens
        assert again.prefills[-1]["cached"] == len(prompt) - 1
        worker.process.kill()
    for worker in started(embedded, **options):
        emitted = runs[1].tokens[:3]
        rest = worker.run(admission(4, prompt, emitted=emitted, max_tokens=20))[4]
        assert emitted + rest.tokens == runs[1].tokens


def test_a_model_whose_kv_cache_can_t_be_quantized() -> None:
    none, four = (cast(LoadOptions, SimpleNamespace(kv_bits=bits)) for bits in (0, 4))
    assert _quantization(Path("folder"), model(), none) is None
    with pytest.raises(LoadFailed) as caught:
        _quantization(Path("folder"), model(), four)
    assert caught.value.code == "model_unsupported"
    assert str(caught.value) == (
        "folder: --kv-bits 4 can't be used with it: heads of 8 elements are no whole groups of 32;"
        " leave --kv-bits out"
    )


def test_a_load_without_kernels_to_compile_leaves_the_vocabulary_for_later() -> None:
    class Text:
        vocabulary = 64
        end_tokens = frozenset((1,))
        read = Event()

        def tokenizer_json(self) -> str:
            self.read.set()
            raise ValueError("that is enough")

    text = Text()
    assert _grammars(cast(Any, text), on_gpu=False).wants_reading_ahead
    assert not text.read.is_set()
    _grammars(cast(Any, text), on_gpu=True)
    assert text.read.wait(timeout=60)


def test_an_abort_ends_a_prefill(batched: Worker) -> None:
    batched.send("admit", requests=[admission(30, list(range(1000, 1300)))])
    assert batched.wait_for("prefill", 30)["done"] < 300
    batched.send("abort", ids=[30])
    batched.wait_for("aborted", 30)
    figures = batched.wait_for("telemetry")
    while figures["running"] + figures["waiting"]:
        figures = batched.wait_for("telemetry")
    assert figures["kvBytes"] == 0


def test_too_long_a_prompt(batched: Worker) -> None:
    body = {"kind": "text", "text": "word " * CONTEXT}
    refused = prepare(batched, 40, body)
    assert (refused["code"], refused["field"]) == ("context_length_exceeded", "input")
    assert str(CONTEXT - 1) in refused["message"]


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ({"id": "mine", "kind": "folder", "path": "/nowhere"}, "model_not_found"),
        ({"id": "not an id", "kind": "hub", "path": ""}, "model_not_found"),
        ({"id": "fake", "kind": "fake", "path": ""}, "model_unsupported"),
    ],
)
def test_models_that_cannot_be_loaded(source: Message, code: str) -> None:
    with Worker("mlx") as worker:
        worker.expect("hello")
        worker.send("load", model=source, options=load_options())
        assert worker.wait_for("loadFailed")["code"] == code
        assert worker.exit_code() == 1


def test_an_architecture_that_is_unknown(embedded: Path, tmp_path: Path) -> None:
    for path in embedded.iterdir():
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.json").write_text('{"model_type": "abacus"}')
    with Worker("mlx") as worker:
        worker.expect("hello")
        source = {"id": "x", "kind": "folder", "path": str(tmp_path)}
        worker.send("load", model=source, options=load_options())
        assert worker.wait_for("loadFailed")["code"] == "model_unsupported"
