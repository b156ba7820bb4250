"""What a hostile model folder cannot do: run code of its own, or leave the template's sandbox."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from mlx_serving.failures import LoadFailed, Refused
from mlx_serving.mlx.adapter import load_text, load_weights
from mlx_serving.models import sources
from mlx_serving.text import hugging_face

USER = [{"role": "user", "content": "x"}]
TOKENIZER = ("config.json", "tokenizer.json", "tokenizer_config.json")


@pytest.fixture
def folder(embedded: Path, tmp_path: Path) -> Path:
    """The embedded model's tokenizer and configuration, free to be changed; with a trap."""
    for name in TOKENIZER:
        shutil.copy(embedded / name, tmp_path / name)
    trap = f"open({str(tmp_path / 'sprung')!r}, 'w').close()\n"
    for name in ("modeling_trap.py", "tokenization_trap.py", "trap.py"):
        (tmp_path / name).write_text(trap + "class Trap: ...\n")
    return tmp_path


def changed(folder: Path, name: str, **fields: Any) -> dict[str, Any]:
    path = folder / name
    config: dict[str, Any] = {**json.loads(path.read_text()), **fields}
    path.write_text(json.dumps(config))
    return config


def is_sprung(folder: Path) -> bool:
    return (folder / "sprung").exists()


def test_the_trap_works(folder: Path) -> None:
    exec((folder / "trap.py").read_text())
    assert is_sprung(folder)


def test_code_of_a_model_is_refused_by_us_and_by_the_library(folder: Path) -> None:
    changed(folder, "config.json", model_file="trap.py")
    with pytest.raises(LoadFailed, match="code of its own"):
        sources.check_folder(folder)
    with pytest.raises(LoadFailed) as caught:
        load_weights(folder, 1 << 40, False)
    assert caught.value.code == "model_unsupported"
    assert not is_sprung(folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_code_of_a_tokenizer_is_not_run(folder: Path, name: str) -> None:
    hooks = {"AutoTokenizer": ["tokenization_trap.Trap", None], "AutoConfig": "modeling_trap.Trap"}
    changed(folder, name, auto_map=hooks, tokenizer_class="Trap", model_type="trap")
    # Without that code it is loaded from tokenizer.json, or not at all.
    with suppress(LoadFailed):
        load_text(folder, json.loads((folder / "config.json").read_text()))
    assert not is_sprung(folder)


def rendered(folder: Path, template: str) -> str:
    config = changed(folder, "tokenizer_config.json", chat_template=template)
    assert config["chat_template"] == template
    for other in folder.glob("*.jinja"):
        other.unlink()
    text = load_text(folder, json.loads((folder / "config.json").read_text()))
    return text.render(USER, {})


def test_a_template_of_the_folder_is_the_one_in_use(folder: Path) -> None:
    assert rendered(folder, "<{{ messages[0].content }}>") == "<x>"


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append.__globals__ }}",
        "{{ cycler.__init__.__globals__.os.system('true') }}",
        "{{ self.__init__.__globals__ }}",
        "{{ messages.clear() }}",
        "{% for i in range(999999999) %}{% endfor %}",
        "{% include 'tokenizer.json' %}",
        "{% import 'os' as os %}{{ os }}",
    ],
)
def test_templates_stay_in_their_sandbox(folder: Path, template: str) -> None:
    with pytest.raises((Refused, TypeError, AttributeError, OverflowError)):
        rendered(folder, template)


def test_what_templates_write_and_how_long_is_bounded(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Refused, match="exceeds"):
        rendered(folder, "{{ 'x' * 17000000 }}")
    monkeypatch.setattr(hugging_face, "RENDER_SECONDS_MAX", 0.2)
    loops = "{% for i in range(99999) %}" * 4
    with pytest.raises(Refused, match="longer than"):
        rendered(folder, loops + "x" + "{% endfor %}" * 4)
