"""Folders of real models, tiny ones: what their optional files hold never decides over serving, and
what is wrong with the others is told by folder, file and field."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from families.compare import Silent
from mlx.utils import tree_flatten
from mlx_serving.failures import LoadFailed
from mlx_serving.mlx.engine import MlxEngine
from mlx_serving.models.files import usable

from orchestrator import Worker, admission, load_options
from toy import SMALL

CONFIG: dict[str, Any] = {"model_type": "llama", **SMALL, "eos_token_id": 2}
WORDS = ["<unk>", "<s>", "</s>", *(f"w{i}" for i in range(97))]
TEMPLATE = "{% for m in messages %}{{ m.content }}{% endfor %}"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from mlx_lm.models import llama
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder = tmp_path_factory.mktemp("whole")
    made = llama.Model(llama.ModelArgs.from_dict(CONFIG))
    mx.save_safetensors(
        str(folder / "model.safetensors"), dict(tree_flatten(made.parameters())), {"format": "mlx"}
    )
    vocabulary = {word: i for i, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    write(folder / "config.json", CONFIG)
    write(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "unk_token": "<unk>",
            "bos_token": "<s>",
            "eos_token": "</s>",
            "chat_template": TEMPLATE,
        },
    )
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    for path in whole.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def write(path: Path, body: object) -> None:
    if isinstance(body, bytes):
        path.write_bytes(body)
    else:
        path.write_text(body if isinstance(body, str) else json.dumps(body), "utf-8")


def load(folder: Path) -> Any:
    from mlx_serving.messages import LoadOptions, ModelSource

    options = LoadOptions(
        max_batch=4,
        context_max=0,
        memory_budget_bytes=0,
        device="cpu",
        prefill_chunk_tokens=64,
        prefix_cache_bytes=0,
        prefix_cache_share=0.5,
        prefix_disk_folder="",
        prefix_disk_bytes=0,
        kv_bits=0,
        unacked_steps_max=8,
        deterministic=False,
        control_tokens="text",
        fake_tokens_per_second=0,
        fake_load_ms=0,
    )
    loaded, _ = MlxEngine().load(ModelSource("mine", "folder", str(folder)), options, Silent())
    return loaded


def failure(folder: Path) -> LoadFailed:
    with pytest.raises(LoadFailed) as caught:
        load(folder)
    assert str(folder) in str(caught.value) and "\n" not in str(caught.value)
    return caught.value


def test_a_whole_folder(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    loaded = load(whole)
    assert loaded.text.end_tokens == {2} and loaded.abilities.batch
    assert loaded.text.render([{"role": "user", "content": "w1 w2"}], {}) == "w1 w2"
    assert str(whole) not in capsys.readouterr().err


# --- optional files ---


@pytest.mark.parametrize(
    ("name", "body", "told"),
    [
        ("generation_config.json", '{"temperature": 0.5, "eos_token_id": [2, 5],}', "commas"),
        ("generation_config.json", {"top_k": -1, "do_sample": True, "x": 1}, ""),
        ("generation_config.json", [], "no JSON object"),
        ("generation_config.json", "", "empty"),
        ("generation_config.json", b"\xff\xfe{", "not UTF-8"),
        ("generation_config.json", '\ufeff{"temperature": 0.5}', "byte order mark"),
        ("generation_config.json", {"eos_token_id": "</s>"}, "eos_token_id"),
        ("generation_config.json", {"eos_token_id": [2, None]}, "eos_token_id"),
        ("generation_config.json", {"eos_token_id": -1}, "eos_token_id"),
        ("special_tokens_map.json", "[]", "no JSON object"),
        ("special_tokens_map.json", '{"pad_token": "<unk>",}', "commas"),
        ("special_tokens_map.json", "", "empty"),
        ("added_tokens.json", "null", "no JSON object"),
        ("added_tokens.json", "{", "no JSON"),
        ("chat_template.json", "{,", "no JSON"),
        ("chat_template.json", "\ufeff{}", "byte order mark"),
        ("chat_template.jinja", b"\xff\xfe{", "not UTF-8"),
        ("chat_template.jinja", "  \n", "empty"),
        ("chat_template.jinja", "\ufeff" + TEMPLATE, "byte order mark"),
    ],
)
def test_an_optional_file_never_decides(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str, body: object, told: str
) -> None:
    write(folder / name, body)
    loaded = load(folder)
    assert loaded.text.render([{"role": "user", "content": "w1 w2"}], {}) == "w1 w2"
    said = [line for line in capsys.readouterr().err.splitlines() if str(folder / name) in line]
    assert bool(said) is bool(told)
    assert not told or any(told in line for line in said)
    eos = {2, 5} if "[2, 5]" in str(body) else {2}
    assert loaded.text.end_tokens == eos


@pytest.mark.parametrize("name", ["tokenizer_config.json", "config.json"])
@pytest.mark.parametrize("change", [lambda text: "\ufeff" + text, lambda text: text[:-1] + ",}"])
def test_what_is_needed_is_mended_too(
    folder: Path, name: str, change: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    write(folder / name, change((folder / name).read_text("utf-8")))
    assert load(folder).text.end_tokens == {2}
    assert "overlooked" in capsys.readouterr().err


@pytest.mark.parametrize(
    "change",
    [
        {"model_max_length": 1e30},
        {"model_max_length": 8192.0},
        {"additional_special_tokens": ["<s>"]},
        {"unknown": {"a": [1]}},
        {"chat_template": [{"name": "default", "template": TEMPLATE}]},
        {"add_prefix_space": None},
        {"clean_up_tokenization_spaces": "no"},
    ],
)
def test_oddities_of_a_tokenizer_configuration(folder: Path, change: dict[str, Any]) -> None:
    config = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    write(folder / "tokenizer_config.json", {**config, **change})
    assert load(folder).text.render([{"role": "user", "content": "w1"}], {}) == "w1"


def test_a_stand_in_only_where_there_is_need(folder: Path) -> None:
    with usable(folder) as files:
        assert files == folder
    write(folder / "generation_config.json", "{")
    with usable(folder) as files:
        assert files != folder and not (files / "generation_config.json").exists()
        assert (files / "model.safetensors").samefile(folder / "model.safetensors")
    assert not files.exists()


@pytest.mark.parametrize("said", [5, [5], [2, 5]])
@pytest.mark.parametrize("name", ["config.json", "generation_config.json"])
def test_the_tokenizers_end_ends_a_text_whatever_others_say(
    folder: Path, name: str, said: object
) -> None:
    """A stale id in a quantized repository had every answer run to its limit."""
    before = CONFIG if name == "config.json" else {}
    write(folder / name, {**before, "eos_token_id": said})
    assert load(folder).text.end_tokens == {2, 5}


# --- errors ---


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"num_attention_heads": 0}, "num_attention_heads must be a whole number from 1, not 0"),
        ({"num_key_value_heads": -2}, "num_key_value_heads must be"),
        ({"max_position_embeddings": 8192.0}, "max_position_embeddings must be"),
        ({"hidden_size": "64"}, "hidden_size must be"),
        ({"num_hidden_layers": True}, "num_hidden_layers must be"),
        ({"vocab_size": [100, 0]}, "vocab_size must be"),
        ({"rope_theta": 0}, "rope_theta must be a number above 0"),
        ({"rms_norm_eps": "small"}, "rms_norm_eps must be"),
        ({"eos_token_id": "</s>"}, "eos_token_id must be"),
        ({"text_config": []}, "text_config must be an object"),
        ({"text_config": {"head_dim": 0}}, "text_config.head_dim must be"),
        ({"quantization": {"bits": 4}}, "quantization.group_size must be"),
        ({"quantization": 4}, "quantization must be an object"),
        ({"model_type": "abacus"}, "model_type abacus is none that mlx-lm can load"),
        ({"model_type": "base"}, "model_type base is none that mlx-lm can load"),
        ({"model_type": 3}, "model_type must be the name"),
        ({"model_type": None}, "model_type must be the name"),
        ({"intermediate_size": None}, "intermediate_size"),
        ({"num_key_value_heads": 3}, "config.json"),
        ({"hidden_size": 32}, "shape"),
        ({"rope_scaling": "much"}, "config.json"),
    ],
)
def test_a_configuration_that_is_wrong(folder: Path, change: dict[str, Any], words: str) -> None:
    write(folder / "config.json", {**CONFIG, **change})
    failed = failure(folder)
    assert failed.code in ("model_unsupported", "weights_corrupt")
    assert "config.json" in str(failed) and words in str(failed)


def test_a_field_that_is_missing(folder: Path) -> None:
    rest = {key: value for key, value in CONFIG.items() if key != "hidden_size"}
    write(folder / "config.json", rest)
    assert "config.json: a llama needs hidden_size too" in str(failure(folder))


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "model_type: llama", '{"a": 1} {"b": 2}', "[" * 99_999]
)
def test_a_configuration_that_is_none(folder: Path, text: str) -> None:
    write(folder / "config.json", text)
    failed = failure(folder)
    assert failed.code == "model_unsupported" and "config.json" in str(failed)


def test_layers_that_the_weights_lack_and_have_too_many(folder: Path) -> None:
    write(folder / "config.json", {**CONFIG, "num_hidden_layers": 3})
    failed = failure(folder)
    assert failed.code == "weights_corrupt" and "model.safetensors" in str(failed)
    assert "tensors are missing, as model.layers.2." in str(failed)
    write(folder / "config.json", {**CONFIG, "num_hidden_layers": 1})
    assert "tensors too many, as model.layers.1." in str(failure(folder))


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-8])


def _header(path: Path) -> None:
    path.write_bytes(struct.pack("<Q", 3) + b"{]}")


@pytest.mark.parametrize("damage", [_cut, _header, lambda path: path.write_bytes(b"")])
def test_weights_that_are_damaged(folder: Path, damage: Callable[[Path], None]) -> None:
    damage(folder / "model.safetensors")
    failed = failure(folder)
    assert failed.code == "weights_corrupt" and "model.safetensors" in str(failed)


def test_shards_that_are_missing(folder: Path) -> None:
    index = {"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}
    write(folder / "model.safetensors.index.json", index)
    assert "model-00002-of-00002.safetensors" in str(failure(folder))
    write(folder / "model.safetensors.index.json", "{")
    assert "model.safetensors.index.json" in str(failure(folder))


@pytest.mark.parametrize("body", ["", "{}", '{"model": {}}', "[", b"\xff"])
def test_a_tokenizer_that_is_none(folder: Path, body: object) -> None:
    write(folder / "tokenizer.json", body)
    failed = failure(folder)
    assert failed.code == "tokenizer_missing" and "tokenizer" in str(failed)


# --- through a process ---


def test_a_worker_serves_it_and_says_what_it_left_out(folder: Path) -> None:
    write(folder / "generation_config.json", '{"do_sample": true, "top_k": "many",}')
    with Worker("mlx") as worker:
        ready = worker.ready({"id": "mine", "kind": "folder", "path": str(folder)})
        assert ready["sampling"]["temperature"] == 1.0 and ready["sampling"]["topK"] == 0
        assert ready["abilities"]["batch"] is True
        run = worker.run(admission(1, [3, 4, 5], max_tokens=3))[1]
        assert len(run.tokens) <= 3 and run.end["finish"] in ("length", "stop")
        worker.send("stop")
        assert worker.exit_code() == 0
        said = worker.stderr()
    assert "commas before closing brackets overlooked" in said
    assert "top_k must be from 0 to 1e+06; it is left out" in said


def test_a_worker_says_what_is_wrong(folder: Path) -> None:
    write(folder / "config.json", {**CONFIG, "num_attention_heads": 0})
    with Worker("mlx") as worker:
        worker.expect("hello")
        source = {"id": "mine", "kind": "folder", "path": str(folder)}
        worker.send("load", model=source, options=load_options())
        failed = worker.wait_for("loadFailed")
        assert failed["code"] == "model_unsupported"
        assert f"{folder}/config.json: num_attention_heads" in failed["message"]
        assert worker.exit_code() == 1
